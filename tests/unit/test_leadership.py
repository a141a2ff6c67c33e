"""Being the copy that writes: one at a time, however long a step takes, and another one soon after a death."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.protocol.errors import RetryError
from reconciler.publication.leadership import Leadership, LedStore, StoreLeases
from reconciler.publication.lease import HeldError, LostError
from reconciler.publication.store import LocalStore

KEY = "records/_lease.json"
SHORT = timedelta(seconds=0.3)


def now() -> datetime:
    return datetime.now(UTC)


def far_ahead() -> datetime:
    return now() + timedelta(days=1)


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[Callable[..., Leadership]]:
    made: list[Leadership] = []

    def make(holder: str, *, clock: Callable[[], datetime] = now, ttl: timedelta = SHORT) -> Leadership:
        leases = StoreLeases(store=LocalStore(tmp_path), key=KEY, holder=holder, now=clock, ttl=ttl)
        made.append(Leadership(leases=leases, ttl=ttl))
        return made[-1]

    yield make
    for one in made:
        one.give_back()


def test_one_leads_for_as_long_as_it_likes_and_the_next_at_once_when_it_gives_back(leader: Callable[..., Leadership]) -> None:
    first, second = leader("one", ttl=timedelta(seconds=3)), leader("two", ttl=timedelta(seconds=3))
    epoch = first.take()
    until = time.monotonic() + 4
    while time.monotonic() < until:  # longer than the lease lives without renewals
        with pytest.raises(HeldError, match="held by one"):
            second.take()
        time.sleep(0.2)
    assert first.take() == first.require() == epoch
    first.give_back()
    assert not first.held
    assert second.take() > epoch
    with pytest.raises(LostError):
        first.require()


def test_who_can_not_renew_stops_leading_by_itself_before_others_begin(leader: Callable[..., Leadership], tmp_path: Path) -> None:
    first, second = leader("one", clock=now), leader("two")
    first.take()
    (tmp_path / "records").rename(tmp_path / "away")
    (tmp_path / "records").write_text("a file where a directory should be")
    limit = time.monotonic() + 30
    while first.held and time.monotonic() < limit:
        time.sleep(0.01)
    assert not first.held
    (tmp_path / "records").unlink()
    (tmp_path / "away").rename(tmp_path / "records")
    while time.monotonic() < limit:
        try:
            assert second.take() > 1
        except HeldError:
            time.sleep(0.05)
            continue
        return
    pytest.fail("nobody took over")


def test_a_clock_that_is_a_day_ahead_keeps_nobody_waiting_for_a_day(leader: Callable[..., Leadership], tmp_path: Path) -> None:
    StoreLeases(store=LocalStore(tmp_path), key=KEY, holder="dead", now=far_ahead).acquire(0)
    second, limit = leader("two"), time.monotonic() + 30
    with pytest.raises(HeldError):
        second.take()
    while not second.held and time.monotonic() < limit:
        try:
            second.take()
        except HeldError:
            time.sleep(0.05)
    assert second.require() == 2


def test_a_greater_floor_raises_the_epoch(leader: Callable[..., Leadership]) -> None:
    one = leader("one")
    assert one.take() == 1
    assert one.take(41) == 42
    assert one.take(7) == 42


def test_taking_says_what_keeps_the_store_from_being_asked(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file where a directory should be")
    one = Leadership(leases=StoreLeases(store=LocalStore(tmp_path), key=KEY, holder="one", now=now))
    with pytest.raises(RetryError, match="records"):
        one.take()
    assert not one.held


def test_who_leads_no_longer_writes_nothing_and_reads_as_ever(leader: Callable[..., Leadership], tmp_path: Path) -> None:
    one = leader("one")
    store = LedStore(inner=LocalStore(tmp_path), write=("approved/",), leads=one.require)
    with pytest.raises(LostError, match="stops writing"):
        store.create("approved/first", b"before it leads")
    one.take()
    assert store.create("approved/first", b"one")
    version = store.version("approved/first")
    one.give_back()
    for write in (lambda: store.replace("approved/first", b"two", version), lambda: store.delete("approved/first")):
        with pytest.raises(LostError, match="stops writing"):
            write()
    assert store.get("approved/first") == b"one"
