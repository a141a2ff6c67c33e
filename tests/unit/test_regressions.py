"""What a release costs its hosts: measured by agents before and after, compared by wave."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.disk import Disk
from agent.protocol.report import Usage, Used
from agent.reporting.running import Running
from agent.reporting.usage import UsageBook
from reconciler.control.rollout.regressions import regressed
from reconciler.rollouts.measured import Regressions

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MIB = 2**20


def used(cpu: int = 100, memory: int = 100 * MIB, restarts: int = 0, startup: int | None = 2000) -> Used:
    return Used(cpu=cpu, memory=memory, restarts=restarts, startup=startup)


def usage(after: Used, before: Used | None = None, seconds: int = 600) -> Usage:
    return Usage(digest="b" * 64, attempt=1, seconds=seconds, before=before or used(), after=after)


@pytest.mark.parametrize(
    ("limits", "after", "bad"),
    [
        ({"cpu": 50}, used(cpu=151), "cpu grew from 0.10 cores to 0.15 cores a host (+51 %), more than 50 %"),
        ({"memory": 20}, used(memory=200 * MIB), "memory grew from 100 MiB to 200 MiB a host (+100 %), more than 20 %"),
        ({"startup": 100}, used(startup=4100), "startup grew from 2.0 s to 4.1 s a host (+105 %), more than 100 %"),
        ({"restarts": 1}, used(restarts=2), "restarts: 2 by themselves on one host, more than 1"),
        ({"cpu": 50}, used(cpu=150, memory=900 * MIB, restarts=9, startup=99_000), ""),
        ({"memory": 5}, used(memory=107 * MIB), ""),
    ],
)
def test_what_grows_beyond_its_limit_is_bad_and_what_has_none_is_not_looked_at(limits: dict[str, int], after: Used, bad: str) -> None:
    answer = regressed(Regressions(**limits), [usage(after)], hosts=1, soak=600)
    assert (answer.bad, answer.missing) == (bad, "")


def test_hardly_anything_may_grow_by_any_share() -> None:
    answer = regressed(Regressions(cpu=10), [usage(used(cpu=9), used(cpu=1))], hosts=1, soak=60)
    assert not answer.bad


def test_one_host_of_many_is_noise_and_all_of_them_are_not() -> None:
    noisy = [usage(used(cpu=400)), *(usage(used()) for _ in range(19))]
    answer = regressed(Regressions(cpu=50), noisy, hosts=20, soak=600)
    assert not answer.bad
    answer = regressed(Regressions(cpu=50), [usage(used(cpu=400))] * 20, hosts=20, soak=600)
    assert answer.bad


def test_a_host_that_measured_too_short_holds_and_what_runs_for_the_first_time_has_no_before() -> None:
    short = regressed(Regressions(cpu=50), [usage(used(cpu=400), seconds=299)], hosts=1, soak=600)
    assert (short.bad, short.missing) == ("", "1 of 1 hosts have not measured it for long enough")
    first = Usage(digest="b" * 64, attempt=1, seconds=600, before=None, after=used())
    answer = regressed(Regressions(cpu=1), [first], hosts=1, soak=600)
    assert not answer.bad + answer.missing
    assert not Regressions()


class Clock:
    """A time that tests move, and what runs then."""

    def __init__(self) -> None:
        self.now = NOON
        self.rows: list[Running] = []

    def look(self, _disk: Disk, _root: Path) -> Sequence[Running]:
        return self.rows

    def run(self, *, since: timedelta, cpu: float, rss: int = 50 * MIB, restarts: int = 0) -> None:
        began = (NOON + since).strftime("%Y-%m-%dT%H:%M:%SZ")
        row = Running(
            kind="process", name="tool", fleet="web", standing="running", since=began, restarts=restarts, cpu_seconds=cpu, rss_bytes=rss
        )
        self.rows = [row, Running(kind="process", name="other", fleet="db", standing="running", since=began, cpu_seconds=9e9)]


def made(tmp_path: Path) -> tuple[UsageBook, Clock]:
    disk, clock = Disk(root=tmp_path), Clock()
    disk.fleet("web").mkdir(parents=True)
    return UsageBook(disk, tmp_path, look=clock.look, now=lambda: clock.now), clock


def test_use_is_measured_before_the_switch_and_after_at_times_that_double(tmp_path: Path) -> None:
    book, clock = made(tmp_path)
    clock.run(since=-timedelta(seconds=1000), cpu=100.0)
    book.begin("web", digest="b", attempt=1)
    assert book.usage("web") is None
    clock.now += timedelta(seconds=3)
    clock.run(since=timedelta(seconds=1), cpu=0.5)
    book.applied("web", digest="b", attempt=1)
    assert book.usage("web") is None, "what a start costs says little"
    clock.now = NOON + timedelta(seconds=31)
    clock.run(since=timedelta(seconds=1), cpu=15.0, rss=60 * MIB, restarts=1)
    first = book.usage("web")
    assert first == Usage(
        digest="b",
        attempt=1,
        seconds=31,
        before=Used(cpu=100, memory=50 * MIB, restarts=0),
        after=Used(cpu=500, memory=60 * MIB, restarts=1, startup=3000),
    )
    clock.now = NOON + timedelta(seconds=59)
    assert book.usage("web") is first
    told = set()
    for seconds in range(60, 90_000, 30):
        clock.now = NOON + timedelta(seconds=seconds)
        found = book.usage("web")
        assert found is not None
        told.add(found.seconds)
    assert sorted(told) == [60, 120, 240, 480, 960, 1920, 3840, 7680]


def test_what_a_release_did_not_start_anew_is_measured_from_the_switch_on(tmp_path: Path) -> None:
    book, clock = made(tmp_path)
    clock.run(since=-timedelta(seconds=1000), cpu=100.0, restarts=4)
    book.begin("web", digest="b", attempt=1)
    book.applied("web", digest="b", attempt=1)
    clock.now += timedelta(seconds=60)
    clock.run(since=-timedelta(seconds=1000), cpu=130.0, restarts=6)
    found = book.usage("web")
    assert found is not None
    assert (found.after.cpu, found.after.restarts) == (500, 2)


def test_a_second_try_keeps_what_was_before_the_first_and_another_release_takes_what_is(tmp_path: Path) -> None:
    book, clock = made(tmp_path)
    clock.run(since=-timedelta(seconds=1000), cpu=100.0)
    book.begin("web", digest="b", attempt=1)
    clock.run(since=timedelta(0), cpu=10.0)
    clock.now += timedelta(seconds=10)
    book.begin("web", digest="b", attempt=1)
    clock.now += timedelta(seconds=10)
    book.applied("web", digest="b", attempt=1)
    clock.now += timedelta(seconds=30)
    again = book.usage("web")
    assert again is not None
    assert again.before is not None
    assert (again.before.cpu, again.after.startup) == (100, 20_000)
    book.begin("web", digest="c", attempt=1)
    assert book.usage("web") is None
    book.applied("web", digest="c", attempt=1)
    clock.now += timedelta(seconds=30)
    later = book.usage("web")
    assert later is not None
    assert later.before is not None
    assert later.before.startup == 20_000


def test_a_host_on_which_nothing_runs_has_no_before(tmp_path: Path) -> None:
    book, clock = made(tmp_path)
    book.begin("web", digest="b", attempt=1)
    book.applied("web", digest="b", attempt=1)
    clock.now += timedelta(seconds=30)
    found = book.usage("web")
    assert found is not None
    assert (found.before, found.after.cpu) == (None, 0)
