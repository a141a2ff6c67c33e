"""Repairs of one path have a budget within a day, and contents are read anew within theirs."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.apply.survey import ANEW_SHARE, ROUND_SECONDS, Digests
from agent.host import Host
from agent.settling.repairs import DAY_SECONDS, FIRST_SECONDS, FREE, Repairs, without

DAY = int(DAY_SECONDS)


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.integers(min_value=1, max_value=DAY), min_size=1, max_size=400))
def test_a_path_is_put_right_a_bounded_number_of_times_a_day_however_it_is_changed(waits: list[int]) -> None:
    clock = Clock()
    repairs, done = Repairs(clock=clock), list[float]()
    for wait in waits:
        clock.now += wait
        if not repairs.contested("web", ["/etc/a"]):
            repairs.note("web", ["/etc/a"])
            done.append(clock.now)
    assert max(sum(1 for one in done if now - DAY < one <= now) for now in done) <= FREE + 6 + DAY // 21_600 + 1


def test_what_is_changed_again_and_again_is_left_for_longer_each_time_and_others_are_not() -> None:
    clock = Clock()
    repairs = Repairs(clock=clock)
    for _ in range(FREE):
        assert repairs.contested("web", ["/etc/a"]) == frozenset()
        repairs.note("web", ["/etc/a"])
    assert repairs.contested("web", ["/etc/a", "/etc/b"]) == {"/etc/a"}
    assert repairs.contested("db", ["/etc/a"]) == frozenset()
    clock.now = FIRST_SECONDS
    assert repairs.contested("web", ["/etc/a"]) == frozenset()
    repairs.note("web", ["/etc/a"])
    clock.now = 2 * FIRST_SECONDS
    assert repairs.contested("web", ["/etc/a"]) == {"/etc/a"}
    clock.now = 2 * DAY_SECONDS
    assert repairs.contested("web", ["/etc/a"]) == frozenset()


def test_what_lies_below_a_path_that_is_left_is_left_too() -> None:
    assert not without(frozenset({"/etc/a"}), "/etc/a/b")
    assert without(frozenset({"/etc/a"}), "/etc/ab")


def test_content_that_changed_without_a_trace_is_found_within_a_round(tmp_path: Path) -> None:
    """A disk that rots changes no time: what is known is as if the file had been read before that."""
    (tmp_path / "a").write_text("as it is")
    clock, host = Clock(), Host(tmp_path)
    digests, seen = Digests(clock=clock), host.observe("/a")
    digests.read_anew()
    digests.known["/a"] = (seen.fingerprint, "what it was")
    assert digests.fill(host, "/a", seen).digest == "what it was"
    clock.now = ROUND_SECONDS
    digests.read_anew()
    assert digests.fill(host, "/a", seen).digest == host.digest("/a")


def test_what_costs_more_than_a_thousandth_of_a_core_waits_until_that_was_saved(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("as it is")
    clock = Clock()
    digests = Digests(clock=clock)
    digests.read_anew()
    fingerprint = Host(tmp_path).observe("/a").fingerprint
    digests.known["/a"], digests._costs["/a"] = (fingerprint, "x"), 1.5 * ROUND_SECONDS * ANEW_SHARE  # noqa: SLF001 - as if it were large
    clock.now = ROUND_SECONDS
    digests.read_anew()
    assert "/a" in digests.known
    clock.now = 2 * ROUND_SECONDS
    digests.read_anew()
    assert "/a" not in digests.known
