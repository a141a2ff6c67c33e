"""The lease to publish, on either database: one copy has it, and another one soon after a death."""

import time
from datetime import timedelta

import pytest

from reconciler.control.leading import RegistryLeases
from reconciler.control.registry.registry import Registry
from reconciler.publication.leadership import Leadership
from reconciler.publication.lease import HeldError, LostError

TTL = timedelta(seconds=1.5)


def copy(registry: Registry, holder: str) -> Leadership:
    return Leadership(leases=RegistryLeases(registry=registry, holder=holder, ttl=TTL), ttl=TTL)


def test_one_copy_publishes_until_it_gives_back(registry: Registry) -> None:
    first, second = copy(registry, "one"), copy(registry, "two")
    try:
        epoch = first.take(41)
        assert epoch == 42
        until = time.monotonic() + 2 * TTL.total_seconds()
        while time.monotonic() < until:
            with pytest.raises(HeldError, match="held by one"):
                second.take()
            time.sleep(0.2)
        first.give_back()
        assert second.take() == epoch + 1
    finally:
        first.give_back()
        second.give_back()


def test_a_copy_that_died_is_followed_by_another_which_it_learns_of(registry: Registry) -> None:
    dead = RegistryLeases(registry=registry, holder="dead", ttl=TTL)
    epoch = dead.acquire(0)
    second, limit = copy(registry, "two"), time.monotonic() + 30
    try:
        while not second.held and time.monotonic() < limit:
            try:
                second.take()
            except HeldError:
                time.sleep(0.05)
        assert second.require() == epoch + 1
        with pytest.raises(LostError, match="somebody else took it"):
            dead.renew()
    finally:
        second.give_back()
