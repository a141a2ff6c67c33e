"""What operators did reaches the store, signed, in parts that fill; and it outlives the registry that it came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.protocol.errors import RefusedError
from reconciler.control.known import KnownTenants
from reconciler.control.registry import audit
from reconciler.control.registry.registry import Registry
from reconciler.control.telling import ROLE, Telling
from reconciler.publication import layout, operations
from tests import registry_cases
from tests.publication_cases import Zone, make_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A tenant with controls, and a registry."""

    zone: Zone
    known: KnownTenants
    registry: Registry

    def telling(self) -> Telling:
        return Telling(registry=self.registry, known=self.known, store=self.zone.store, ring=self.zone.rings.control)

    def act(self, count: int = 1, *, chain: str = "shop") -> None:
        with self.registry.begin() as connection:
            for number in range(count):
                target = f"shop/web-{number}"
                audit.append(connection, chain, who="operator:ana", action="agents.revoke", target=target, at=datetime.now(UTC))

    def parts(self) -> list[operations.Operations]:
        keys = self.zone.trust.keys(ROLE)
        names = sorted(self.zone.store.list(layout.operations("shop")))
        return [operations.read(self.zone.store.get(name) or b"", keys, tenant="shop") for name in names]

    def numbers(self) -> list[list[int]]:
        return [[one.number for one in part.operations] for part in self.parts()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    zone = make_zone(tmp_path)
    zone.write_controls()
    known = KnownTenants(zone.store)
    known.look()
    with registry_cases.empty(tmp_path) as registry:
        yield Place(zone=zone, known=known, registry=registry)


def test_what_was_done_is_signed_by_the_tenants_online_key_and_goes_on_where_it_was(place: Place) -> None:
    telling = place.telling()
    telling.once()
    assert place.parts() == []
    place.act(2)
    place.act(3, chain="")
    telling.once()
    place.act()
    place.telling().once()
    assert place.numbers() == [[1, 2, 3]]
    first = place.parts()[0].operations[0]
    assert (first.who, first.action, first.target, first.outcome) == ("operator:ana", "agents.revoke", "shop/web-0", "done")
    place.registry.look(audit.verify, "shop")
    assert place.parts()[0].last[1] == place.registry.look(audit.listed, "shop", limit=1).items[0].hash


def test_a_part_that_is_full_is_left_and_another_begun(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PART", 3)
    telling = place.telling()
    place.act(2)
    telling.once()
    place.act(6)
    telling.once()
    assert place.numbers() == [[1, 2, 3], [4, 5, 6], [7, 8]]
    parts = place.parts()
    assert [part.previous for part in parts[1:]] == [part.last[1] for part in parts[:-1]]
    assert parts[0].previous == audit.START


def test_two_copies_leave_each_entry_once(place: Place) -> None:
    one, other = place.telling(), place.telling()
    for telling in (one, other, one, other):
        place.act()
        telling.once()
        telling.once()
    assert place.numbers() == [[1, 2, 3, 4]]


def test_a_registry_that_was_lost_begins_a_series_and_changes_none(place: Place, tmp_path: Path) -> None:
    place.act(3)
    place.telling().once()
    (tmp_path / "new").mkdir()
    with registry_cases.empty(tmp_path / "new") as fresh:
        after = Place(zone=place.zone, known=place.known, registry=fresh)
        after.act(1)
        after.telling().once()
        after.act(4)
        after.telling().once()
    assert place.numbers() == [[1, 2, 3], [1, 2, 3, 4, 5]]
    assert [part.series for part in place.parts()] == [1, 2]


def test_what_somebody_else_wrote_is_not_built_on(place: Place) -> None:
    place.act()
    telling = place.telling()
    telling.once()
    (name,) = place.zone.store.list(layout.operations("shop"))
    found = place.zone.store.get_versioned(name)
    assert found is not None
    forged = operations.write(place.parts()[0], place.zone.rings.pipeline.signer("shop/releases"))
    assert place.zone.store.replace(name, forged, found[1])
    place.act()
    place.telling().once()
    assert place.zone.store.get(name) == forged
    with pytest.raises(RefusedError):
        place.parts()
