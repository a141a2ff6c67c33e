"""Leases: one holder at a time, and epochs that only grow."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.publication import lease
from reconciler.publication.store import LocalStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TTL = timedelta(seconds=30)
KEY = "records/_lease.json"


def test_a_second_holder_waits_until_the_first_is_over(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    first = lease.acquire(store, KEY, holder="one", ttl=TTL, now=NOON)
    with pytest.raises(lease.HeldError, match="one"):
        lease.acquire(store, KEY, holder="two", ttl=TTL, now=NOON + TTL / 2)
    second = lease.acquire(store, KEY, holder="two", ttl=TTL, now=NOON + TTL)
    assert second.epoch > first.epoch
    with pytest.raises(lease.LostError):
        lease.renew(store, first, ttl=TTL, now=NOON + TTL)


def test_a_renewed_lease_keeps_its_epoch(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    held = lease.acquire(store, KEY, holder="one", ttl=TTL, now=NOON)
    renewed = lease.renew(store, held, ttl=TTL, now=NOON + TTL / 2)
    assert renewed.epoch == held.epoch
    with pytest.raises(lease.HeldError):
        lease.acquire(store, KEY, holder="two", ttl=TTL, now=NOON + TTL)


def test_a_holder_that_comes_back_need_not_wait_for_itself(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    lease.acquire(store, KEY, holder="one", ttl=TTL, now=NOON)
    assert lease.acquire(store, KEY, holder="one", ttl=TTL, now=NOON).epoch == 2


def test_a_released_lease_is_free_at_once_and_its_epoch_is_not_forgotten(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    held = lease.acquire(store, KEY, holder="one", ttl=TTL, now=NOON)
    lease.release(store, held, now=NOON)
    assert lease.acquire(store, KEY, holder="two", ttl=TTL, now=NOON).epoch == held.epoch + 1


def test_an_epoch_is_above_what_is_published(tmp_path: Path) -> None:
    assert lease.acquire(LocalStore(tmp_path), KEY, holder="one", ttl=TTL, now=NOON, floor=41).epoch == 42


def test_a_lease_that_nobody_renewed_is_over_whatever_it_says(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    lease.acquire(store, KEY, holder="a-year-ahead", ttl=TTL, now=NOON + timedelta(days=365))
    version = store.version(KEY)
    assert version is not None
    with pytest.raises(lease.HeldError):
        lease.acquire(store, KEY, holder="two", ttl=TTL, now=NOON, stale="another")
    assert lease.acquire(store, KEY, holder="two", ttl=TTL, now=NOON, stale=version).epoch == 2
