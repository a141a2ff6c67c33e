"""What operators did reaches git's notes, each entry once, and a chain that does not go on is said to."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.control.known import KnownTenants
from reconciler.control.registry import audit
from reconciler.control.registry.registry import Registry
from reconciler.control.telling import ROLE, Telling
from reconciler.pipeline.notes import OPERATIONS, ROLLOUTS
from reconciler.pipeline.operated import POSITION, OperationsExporter
from reconciler.pipeline.source import Mirror, mirror_path
from reconciler.publication import layout, operations
from tests import registry_cases
from tests.publication_cases import Zone, make_zone
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A tenant whose operators do something, `serve` that tells the store, and a repository that is told by `reconcile`."""

    zone: Zone
    telling: Telling
    registry: Registry
    copy: WorkingCopy
    mirror: Mirror
    state: Path

    def act(self, count: int = 1, *, reason: str = "stolen") -> None:
        with self.registry.begin() as connection:
            for _ in range(count):
                audit.append(
                    connection,
                    "shop",
                    who="operator:ana",
                    action="agents.revoke",
                    target="shop/web-01",
                    reason=reason,
                    at=datetime.now(UTC),
                )
        self.telling.once()

    def exporter(self) -> OperationsExporter:
        return OperationsExporter(mirror=self.mirror, store=self.zone.store, state=self.state)

    def note(self) -> str:
        return self.copy.git("notes", "--ref", OPERATIONS, "show", "HEAD")

    def head(self) -> str:
        return self.copy.git("rev-parse", "HEAD")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    zone = make_zone(tmp_path)
    zone.write_controls()
    known = KnownTenants(zone.store)
    known.look()
    copy = WorkingCopy.make(tmp_path / "fleets")
    copy.commit("first", {"a": "1"})
    mirror = Mirror(mirror_path(tmp_path / "state"), str(copy.path))
    mirror.fetch()
    with registry_cases.empty(tmp_path) as registry:
        telling = Telling(registry=registry, known=known, store=zone.store, ring=zone.rings.control)
        yield Place(zone=zone, telling=telling, registry=registry, copy=copy, mirror=mirror, state=tmp_path / "state")


def test_plain_git_shows_who_did_what_while_a_commit_was_the_newest(place: Place) -> None:
    exporter = place.exporter()
    exporter.catch_up(place.head(), ["shop"])
    assert OPERATIONS not in place.copy.git("for-each-ref")
    place.act(2, reason="two\nlines")
    exporter.catch_up(place.head(), ["shop", "unknown"])
    lines = place.note().split("\n")
    assert lines[0] == "ordain operations shop 1: 1 to 2"
    assert lines[1].endswith("operator:ana agents.revoke shop/web-01 done: two\\nlines")
    assert lines[3].startswith("chain ")
    place.copy.commit("second", {"a": "2"})
    place.mirror.fetch()
    place.act()
    exporter.catch_up(place.head(), ["shop"])
    assert place.note().split("\n")[0] == "ordain operations shop 1: 3 to 3"
    assert "agents.revoke" in place.copy.git("log", "--notes=ordain/*", "-1")


def test_what_became_of_a_rollout_stands_beside_its_commit(place: Place) -> None:
    first = place.head()
    place.copy.commit("second", {"a": "2"})
    place.mirror.fetch()
    with place.registry.begin() as connection:
        for kind, target in (("admitted", f"shop/web@{first}"), ("taken-back", f"shop/web@{first}"), ("done", "shop/web@no commit")):
            now = datetime.now(UTC)
            audit.append(connection, "shop", who="system", action=f"rollout.{kind}", target=target, reason=f"why {kind}", at=now)
    place.telling.once()
    place.exporter().catch_up(place.head(), ["shop"])
    (place.state / POSITION).unlink()
    place.exporter().catch_up(place.head(), ["shop"])
    lines = place.copy.git("notes", "--ref", ROLLOUTS, "show", first).split("\n")
    assert [line.partition(" at ")[0] for line in lines[::3]] == [
        f"ordain rollout of shop/web: {kind}" for kind in ("admitted", "taken-back")
    ]
    assert lines[1::3] == ["why admitted", "why taken-back"]
    assert "why taken-back" in place.copy.git("log", "--notes=ordain/*", "-1", first)


def test_losing_the_position_writes_no_operation_twice(place: Place) -> None:
    place.act(3)
    place.exporter().catch_up(place.head(), ["shop"])
    before = place.copy.git("rev-parse", OPERATIONS)
    (place.state / POSITION).unlink()
    place.exporter().catch_up(place.head(), ["shop"])
    assert place.copy.git("rev-parse", OPERATIONS) == before


def test_entries_that_do_not_follow_what_was_exported_are_written_and_said_to_be_so(place: Place) -> None:
    place.act(2)
    place.exporter().catch_up(place.head(), ["shop"])
    (key,) = place.zone.store.list(layout.operations("shop"))
    found = place.zone.store.get_versioned(key)
    assert found is not None
    part = operations.read(found[0], place.zone.trust.keys(ROLE), tenant="shop")
    first, last = part.operations
    others = [first, replace(last, hash="e" * 64), replace(last, number=3)]
    signed = operations.write(replace(part, operations=others), place.zone.rings.control.signer(f"shop/{ROLE}"))
    assert place.zone.store.replace(key, signed, found[1])
    place.exporter().catch_up(place.head(), ["shop"])
    assert "these do not follow the entry 2 that was exported before" in place.note()


def test_a_part_that_nobody_we_know_signed_is_left_out_and_told(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.act()
    (key,) = place.zone.store.list(layout.operations("shop"))
    found = place.zone.store.get_versioned(key)
    assert found is not None
    part = operations.read(found[0], place.zone.trust.keys(ROLE), tenant="shop")
    place.zone.store.replace(key, operations.write(part, place.zone.rings.control.signer("shop/timestamp")), found[1])
    with caplog.at_level(logging.WARNING):
        place.exporter().catch_up(place.head(), ["shop"])
    assert "not written to the notes" in caplog.text
    assert OPERATIONS not in place.copy.git("for-each-ref")


def test_a_repository_that_can_not_be_written_is_warned_about_once(place: Place, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    place.act()
    head, away = place.head(), place.copy.path.rename(tmp_path / "away")
    exporter = place.exporter()
    with caplog.at_level(logging.WARNING):
        exporter.catch_up(head, ["shop"])
        exporter.catch_up(head, ["shop"])
    assert caplog.text.count("not in the notes yet") == 1
    away.rename(place.copy.path)
    place.exporter().catch_up(head, ["shop"])
    assert place.note().startswith("ordain operations shop 1: 1 to 1")
