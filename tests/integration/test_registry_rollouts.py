"""Rollouts, orders and freezes in the registry, on either database."""

from datetime import timedelta

import pytest

from agent.protocol.rollout import Release
from reconciler.control.registry import rollouts, stops
from reconciler.control.registry.registry import Registry
from reconciler.control.rollout.gates import Hold
from reconciler.control.rollout.orders import Order
from reconciler.control.rollout.progress import Progress
from reconciler.publication.lease import LostError
from tests.registry_cases import NOW

PROGRESS = Progress(phase="stopped", stable=Release(digest="a" * 64, members=1), attempts={"b" * 64: 2}, why="it failed")
ORDER = Order(id=0, kind="pause", who="operator:ana", reason="lunch", at="2026-11-23T12:00:00Z")


def test_a_rollout_is_read_as_it_was_written(registry: Registry) -> None:
    with registry.begin() as connection:
        rollouts.put(connection, "shop", "web", PROGRESS, holds=[Hold(kind="freeze", why="peak", until=NOW)], epoch=3, now=NOW)
    with registry.read() as connection:
        found = rollouts.get(connection, "shop", "web")
        assert rollouts.listed(connection, "shop") == [found]
        assert rollouts.get(connection, "lab", "web") is None
    assert found is not None
    assert (found.progress, found.epoch, found.changed_at) == (PROGRESS, 3, NOW)
    assert [hold["kind"] for hold in found.holds] == ["freeze"]


def test_a_former_leader_can_not_write_and_changes_nothing(registry: Registry) -> None:
    with registry.begin() as connection:
        rollouts.put(connection, "shop", "web", PROGRESS, holds=[], epoch=4, now=NOW)
    with pytest.raises(LostError), registry.begin() as connection:
        rollouts.put(connection, "shop", "web", Progress(), holds=[], epoch=3, now=NOW)
    with registry.read() as connection:
        found = rollouts.get(connection, "shop", "web")
    assert found is not None
    assert found.progress == PROGRESS


def test_orders_are_there_until_they_are_followed(registry: Registry) -> None:
    with registry.begin() as connection:
        first = rollouts.order(connection, "shop", "web", ORDER, now=NOW)
        second = rollouts.order(connection, "shop", "web", ORDER, now=NOW)
        rollouts.order(connection, "shop", "lab", ORDER, now=NOW)
    with registry.read() as connection:
        assert [one.id for one in rollouts.unfollowed(connection, "shop", "web")] == [first, second]
        assert rollouts.ordered(connection, "shop") == {"web", "lab"}
    with registry.begin() as connection:
        rollouts.follow(connection, [first], now=NOW)
    with registry.read() as connection:
        assert [(one.id, one.who) for one in rollouts.unfollowed(connection, "shop", "web")] == [(second, "operator:ana")]
    with registry.begin() as connection:
        assert rollouts.prune(connection, before=NOW + timedelta(days=1), limit=10) == 1
        assert rollouts.ordered(connection, "shop") == {"web", "lab"}


def test_a_freeze_ends_by_itself_and_by_hand(registry: Registry) -> None:
    until = NOW + timedelta(hours=1)
    with registry.begin() as connection:
        everything = stops.add(connection, tenant="", fleets=[], reason="outage", who="operator:ana", begins_at=NOW, until=until)
        stops.add(connection, tenant="shop", fleets=["web"], reason="peak", who="operator:ana", begins_at=NOW, until=until)
    with registry.read() as connection:
        found = stops.on(connection, now=NOW, tenant="shop")
        assert [one.is_about("shop", "web") for one in found] == [True, True]
        assert [one.is_about("shop", "lab") for one in found] == [True, False]
        assert [one.tenant for one in stops.on(connection, now=NOW, tenant="lab")] == [""]
        assert stops.on(connection, now=until) == []
    with registry.begin() as connection:
        assert stops.end(connection, everything.id, now=NOW)
        assert not stops.end(connection, everything.id, now=NOW)
        assert len(stops.on(connection, now=NOW)) == 1
        assert stops.prune(connection, before=until + timedelta(days=1), limit=10) == 2
