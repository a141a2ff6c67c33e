"""How many hosts apply at once: never more than `maxUnavailable` of each value of its label, and everybody in the end."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol.rollout import BOUND_ALL, HELD_LIMIT, slot
from reconciler.control.rollout.evidence import Said
from reconciler.control.rollout.pacing import Placed, pace
from reconciler.control.rollout.progress import Progress
from reconciler.rollouts.strategy import Unavailable, strategy_of
from reconciler.rollouts.waves import Member
from tests.rollout_cases import NEW, OLD, Fleet, desired

RACKS = ("r1", "r2", "r3")
WAVES = [{"name": "canary", "matchLabels": {"canary": "true"}, "soak": 0}, {"name": "rest", "limit": "100%", "soak": 0}]


def members(count: int, canaries: int = 2) -> list[Member]:
    labels = [{"rack": RACKS[number % 3]} | ({"canary": "true"} if number < canaries else {}) for number in range(count)]
    return [Member(name=f"web-{number:05}", labels=one) for number, one in enumerate(labels)]


class Slow(Fleet):
    """Hosts that apply a step after they may, so that it is seen how many do at once."""

    def most_at_once(self, *, away: int = 0) -> Counter[str]:
        """Roll out, and return the most hosts of each rack that had the candidate and had not said so yet."""
        most: Counter[str] = Counter()
        racks = {one.name: one.labels["rack"] for one in self.members}
        self.behave = lambda *_: ""
        for _ in range(600):
            self.step(desired(NEW))
            if self.progress.candidate is None or (away and self.progress.why):
                break
            done = {host for host, digest, _ in self.said if digest == NEW.digest}
            busy = [host for host in self.has() if host not in done and host not in self.away]
            for rack, count in Counter(racks[host] for host in busy).items():
                most[rack] = max(most[rack], count)
            self.now += timedelta(seconds=1)
            for host in busy[: max(1, len(busy) // 2)]:
                self.said[host, NEW.digest, 1] = Said(result="applied", at=self.now)
        return most


def fleet(rollout: dict[str, object], hosts: list[Member]) -> Slow:
    return Slow(strategy=strategy_of({"waves": WAVES, **rollout}), members=hosts, progress=Progress(stable=OLD))


@given(st.integers(1, 40), st.integers(0, 12), st.integers(1, 5))
@settings(max_examples=25)
def test_never_more_of_a_rack_apply_at_once_than_may_and_all_have_it_in_the_end(count: int, canaries: int, limit: int) -> None:
    waves = WAVES if canaries else WAVES[1:]
    one = fleet({"waves": waves, "maxUnavailable": {"label": "rack", "count": limit}}, members(count, canaries))
    most = one.most_at_once()
    assert one.progress.stable == NEW
    assert max(most.values(), default=0) <= limit


def test_a_share_is_of_the_hosts_with_that_value_and_without_a_label_of_all() -> None:
    one = fleet({"maxUnavailable": {"label": "rack", "share": "20%"}}, members(60))
    assert one.most_at_once() == {"r1": 4, "r2": 4, "r3": 4}
    one = fleet({"maxUnavailable": {"count": 2}}, members(20))
    assert max(one.most_at_once().values()) <= 2
    assert one.progress.stable == NEW


def test_without_it_a_whole_wave_goes_at_once() -> None:
    one = fleet({}, members(30))
    assert sum(one.most_at_once().values()) >= 28


def test_what_a_wave_waits_for_is_said_and_it_is_not_proved_before_all_were_let_go() -> None:
    one = fleet({"waves": WAVES[1:], "maxUnavailable": {"label": "rack", "count": 1}}, members(12, 0))
    outcome = one.step(desired(NEW))
    assert outcome.progress.why == "9 hosts wait for others: at most 1 of each rack apply at once"
    assert len(one.has()) == 3
    assert one.document is not None
    assert one.document.bound + len(one.document.held.names) > 0


def test_a_host_that_is_away_is_held_until_it_is_back_and_holds_up_nobody() -> None:
    hosts = members(4, 0)
    one = fleet({"waves": [{"name": "all", "limit": "100%", "soak": 600}], "maxUnavailable": {"count": 1}}, hosts)
    one.away = frozenset({"web-00003"})
    one.step(desired(NEW))
    for _ in range(6):
        one.said |= {(host, NEW.digest, 1): Said(result="applied", at=one.now) for host in one.has()}
        one.now += timedelta(seconds=1)
        one.step(desired(NEW))
    assert one.has() == ["web-00000", "web-00001", "web-00002"]
    assert (one.progress.held, one.progress.waiting) == (["web-00003"], 0)
    one.away = frozenset()
    one.step(desired(NEW))
    assert len(one.has()) == 4
    one.away = frozenset({"web-00003"})
    assert one.run(desired(NEW)).stable == NEW


def test_a_host_that_failed_keeps_its_place_and_nobody_of_its_rack_goes_on() -> None:
    hosts = [host for host in members(40, 0) if host.labels["rack"] == "r1"]
    one = fleet({"waves": WAVES[1:], "maxUnavailable": {"label": "rack", "count": 1}, "health": {"successThreshold": "10%"}}, hosts)
    one.step(desired(NEW))
    (first,) = one.has()
    one.said[first, NEW.digest, 1] = Said(result="applied", at=one.now)
    one.step(desired(NEW))
    (second,) = set(one.has()) - {first}
    one.said[second, NEW.digest, 1] = Said(result="failed", at=one.now)
    for _ in range(5):
        one.now += timedelta(seconds=1)
        one.step(desired(NEW))
    assert set(one.has()) == {first, second}


def placed(count: int, *, chosen: bool) -> list[Placed]:
    plain = Placed(name="", labels={}, slot=0, selected=chosen, let=False, there=True, well=False)
    return [replace(plain, name=f"h{number}", slot=slot("b" * 64, 1, f"h{number}")) for number in range(count)]


def test_a_large_wave_raises_its_bound_with_no_more_names_held_than_a_document_has_room_for() -> None:
    hosts = placed(5000, chosen=False)
    limit, bound, steps = Unavailable(count=700), 0, 0
    while any(not one.let for one in hosts):
        found = pace(limit, hosts, {"": 5000}, bound=bound, most=BOUND_ALL)
        assert len(found.held) <= HELD_LIMIT
        assert found.bound >= bound
        let = {one.name for one in hosts if one.slot < found.bound and one.name not in found.held}
        assert {one.name for one in hosts if one.let} <= let
        assert len(let) - sum(one.let for one in hosts) == found.went <= 700
        assert found.waiting == 5000 - len(let)
        hosts = [replace(one, let=one.name in let, well=one.name in let) for one in hosts]
        bound, steps = found.bound, steps + 1
    assert 5000 / 700 <= steps < 20


def test_a_wave_by_labels_that_would_hold_more_names_than_there_is_room_for_is_refused_whole() -> None:
    found = pace(Unavailable(count=1), placed(HELD_LIMIT + 2, chosen=True), {}, bound=0, most=0)
    assert (found.too_many, found.held) == (HELD_LIMIT + 1, ())
    assert pace(Unavailable(count=2), placed(HELD_LIMIT + 2, chosen=True), {}, bound=0, most=0).too_many == 0


def test_a_rollout_whose_wave_is_too_large_to_be_paced_holds_and_says_so() -> None:
    many = [Member(name=f"web-{number}", labels={"canary": "true"}) for number in range(HELD_LIMIT + 10)]
    one = fleet({"maxUnavailable": {"count": 1}}, many)
    outcome = one.step(desired(NEW))
    assert outcome.progress.wave == -1
    assert outcome.progress.why.startswith("wave canary selects 1,009 hosts by labels that would wait for others")
