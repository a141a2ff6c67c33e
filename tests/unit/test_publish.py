"""Publishing: what is approved reaches agents whole or not at all, and numbers only grow."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tuf.api.metadata import Metadata, Targets

from agent.protocol import bundle
from agent.protocol.errors import RefusedError
from reconciler.control.numbering import floors_of
from reconciler.control.publish import LostRaceError, online_keys, publish_fleet
from reconciler.control.records import RESTORED_JUMP, Floors
from reconciler.publication import layout
from reconciler.publication.ceremony import development_keys
from reconciler.publication.metadata import RENEW_AT_MOST
from reconciler.publication.published import Published, read_published
from reconciler.publication.releases import read_newest
from reconciler.publication.store import LocalStore
from tests.publication_cases import FRESHNESS, Zone, bundle_of, make_zone, now


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    made = make_zone(tmp_path)
    made.approve("one")
    return made


def published(zone: Zone, fleet: str = "web") -> Published:
    found = read_published(zone.store, "shop", fleet)
    assert found is not None
    return found


def public(zone: Zone) -> dict[str, bytes | None]:
    return {key: zone.store.get(key) for key in zone.store.list("public/")}


def test_an_unchanged_state_publishes_nothing(zone: Zone) -> None:
    at = now()
    first = zone.publish(at=at)
    before = public(zone)
    again = zone.publish(at=at + first_age(first.due - at), epoch=2)
    assert (first.changed, again.changed, again.due) == (True, False, first.due.replace(microsecond=0))
    assert public(zone) == before


def test_a_clock_that_was_ahead_and_is_mended_goes_on_from_the_time_that_agents_saw(zone: Zone) -> None:
    at = now().replace(microsecond=0)
    zone.publish(at=at + timedelta(days=1), freshness=timedelta(hours=1))
    zone.approve("two")
    assert zone.publish(at=at, freshness=timedelta(hours=1)).changed
    after = published(zone)
    assert (after.signed_at, after.timestamp.expires) == (at + timedelta(days=1), at + timedelta(days=1, hours=1))
    assert not zone.publish(at=at + timedelta(hours=23), freshness=timedelta(hours=1)).changed, "nothing is due before the time has come"
    zone.publish(at=at + timedelta(hours=25), freshness=timedelta(hours=1))
    assert published(zone).signed_at == at + timedelta(hours=25)


def test_a_clock_that_was_years_ahead_is_not_gone_on_from(zone: Zone) -> None:
    zone.publish(at=now() + timedelta(days=30))
    zone.approve("two")
    zone.publish()
    assert published(zone).signed_at <= now()


def first_age(renewal: timedelta) -> timedelta:
    return renewal - timedelta(minutes=1)


def test_a_timestamp_is_renewed_hourly_and_nothing_else_with_it(zone: Zone) -> None:
    zone.publish()
    before = set(public(zone))
    assert zone.publish(at=now() + RENEW_AT_MOST).changed
    assert set(public(zone)) == before
    after = published(zone)
    assert (after.timestamp.version, after.snapshot.version, after.document.serial) == (2, 1, 1)


def test_where_freshness_is_short_a_timestamp_is_renewed_at_a_quarter_of_it(zone: Zone) -> None:
    first = zone.publish(freshness=timedelta(minutes=20))
    assert not zone.publish(freshness=timedelta(minutes=20), at=now() + timedelta(minutes=4)).changed
    assert zone.publish(freshness=timedelta(minutes=20), at=now() + timedelta(minutes=5)).changed
    assert first.due - now() < timedelta(minutes=5)


def test_snapshot_and_rollouts_are_renewed_at_half_of_their_life_under_the_same_document(zone: Zone) -> None:
    zone.publish()
    document = published(zone).document
    assert zone.publish(at=now() + FRESHNESS * 3.6).changed
    after = published(zone)
    assert (after.snapshot.version, after.file("rollouts").version, after.document) == (2, 2, document)


def test_another_freshness_takes_effect_at_once(zone: Zone) -> None:
    zone.publish()
    zone.publish(freshness=timedelta(hours=1))
    assert published(zone).timestamp.expires - now() <= timedelta(hours=1)
    assert published(zone).snapshot.expires - now() <= timedelta(hours=7)


def test_a_new_release_is_published_under_higher_numbers(zone: Zone) -> None:
    zone.publish()
    zone.approve("two")
    zone.publish()
    after = published(zone)
    assert (after.timestamp.version, after.snapshot.version, after.file("releases").version, after.document.serial) == (2, 2, 2, 2)
    assert after.document.stable is not None
    assert after.document.stable.digest == bundle_of("two")[1]


def test_every_role_says_whose_it_is_and_the_timestamp_when_it_was_signed(zone: Zone) -> None:
    zone.publish()
    marks = {}
    for key in zone.store.list("public/shop/web/metadata/"):
        signed = json.loads(zone.store.get(key) or b"")["signed"]
        marks[key.rpartition("/")[2]] = {name: value for name, value in signed.items() if name.startswith("x-")}
    signed_at = marks["timestamp.json"].pop("x-signed-at")
    assert signed_at.endswith("Z")
    fleet = {"x-fleet": "shop/web"}
    assert marks == {
        "1.root.json": {"x-tenant": "shop", "x-development": True},
        "1.targets.json": {"x-tenant": "shop"},
        "1.releases.json": fleet,
        "1.rollouts.json": fleet,
        "1.snapshot.json": fleet,
        "timestamp.json": fleet,
    }


def test_of_two_publishers_the_slower_stops_and_the_repository_is_whole(zone: Zone) -> None:
    zone.publish()
    zone.approve("two")
    behind = _Overtaken(zone.store.root, zone)  # type: ignore[attr-defined]
    with pytest.raises(LostRaceError, match="another publisher"):
        zone.publish(store=behind)
    assert published(zone).timestamp.version == 2
    assert not zone.publish().changed


class _Overtaken(LocalStore):
    """A store in which another publisher finishes just before this one moves the timestamp."""

    def __init__(self, root: Path, zone: Zone) -> None:
        super().__init__(root)
        object.__setattr__(self, "zone", zone)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        if key.endswith("timestamp.json"):
            self.zone.publish()  # type: ignore[attr-defined]
        return LocalStore.replace(self, key, data, version)


def test_what_a_crash_left_is_stepped_over(zone: Zone) -> None:
    zone.publish()
    for name in ("2.snapshot.json", "2.rollouts.json", "3.snapshot.json"):
        zone.store.create(layout.metadata("shop", "web", name), b"left by a crash")
    zone.approve("two")
    zone.publish()
    assert (published(zone).snapshot.version, published(zone).file("rollouts").version) == (4, 3)


@pytest.mark.parametrize("path", ["bundle", "members"])
def test_bytes_that_are_not_what_was_approved_are_not_published(zone: Zone, path: str) -> None:
    name = bundle.target("web", bundle_of("one")[1]) if path == "bundle" else "members/1.json"
    key = layout.approved("shop", "web", name)
    zone.store.replace(key, b"something else", zone.store.version(key))
    with pytest.raises(RefusedError, match="not the bytes that were approved"):
        zone.publish()
    assert not list(zone.store.list("public/shop/web/metadata/timestamp"))


@pytest.mark.parametrize("prefix", ["metadata/1.root", "metadata/1.targets", "metadata/1.releases", "targets/members/", "targets/bundles/"])
def test_a_damaged_copy_is_mended_with_the_next_timestamp(zone: Zone, prefix: str) -> None:
    zone.publish()
    key = next(iter(zone.store.list(f"public/shop/web/{prefix}")))
    good = zone.store.get(key)
    zone.store.replace(key, b"damaged", zone.store.version(key))
    zone.publish(at=now() + RENEW_AT_MOST)
    assert zone.store.get(key) == good


def test_releases_that_are_expired_are_not_published(zone: Zone) -> None:
    with pytest.raises(RefusedError, match="ordain reconcile"):
        zone.publish(at=now() + timedelta(days=61))


def test_approved_files_that_went_back_are_not_published(zone: Zone) -> None:
    zone.approve("two")
    zone.publish()
    zone.store.delete(layout.approved("shop", "web", "2.releases.json"))
    with pytest.raises(RefusedError, match="restored from a backup"):
        zone.publish()


def resigned(zone: Zone, key: str, role: str, **changes: object) -> None:
    """Sign a copy of an approved releases role again with another key of the tenant, or with changed marks."""
    document: Metadata[Targets] = Metadata.from_bytes(zone.store.get(key) or b"")
    document.signed.unrecognized_fields.update(changes)
    ring = zone.rings.pipeline if role == "releases" else zone.rings.control
    document.sign(ring.signer(f"shop/{role}"))
    zone.store.replace(key, document.to_bytes(), zone.store.version(key))


def test_releases_signed_by_an_online_key_are_not_published(zone: Zone) -> None:
    resigned(zone, layout.approved("shop", "web", "1.releases.json"), "rollouts")
    with pytest.raises(RefusedError, match="only the releases key"):
        zone.publish()


def test_releases_of_another_fleet_are_not_published(zone: Zone) -> None:
    resigned(zone, layout.approved("shop", "web", "1.releases.json"), "releases", **{"x-fleet": "shop/db"})
    with pytest.raises(RefusedError, match="shop/db"):
        zone.publish()


def test_a_control_ring_that_the_trust_does_not_name_publishes_nothing(zone: Zone, tmp_path: Path) -> None:
    other = development_keys(tmp_path / "other", LocalStore(tmp_path / "other-store"), "shop")
    with pytest.raises(RefusedError, match="rotate to this key"):
        online_keys(other.control, zone.trust)


def test_numbers_jump_past_everything_when_less_is_published_than_was_recorded(zone: Zone) -> None:
    zone.publish()
    recorded = Floors(timestamp=900, snapshot=30, rollouts=20, serial=10, epoch=3)
    reached = zone.publish(recorded=recorded, epoch=4).floors
    assert reached.timestamp > 900 + RESTORED_JUMP
    assert reached.snapshot > 30 + RESTORED_JUMP
    assert reached.rollouts > 20 + RESTORED_JUMP
    assert reached.serial > 10 + RESTORED_JUMP
    assert not zone.publish(recorded=reached, epoch=4).changed


class _Forgetful(LocalStore):
    """A store whose disk keeps something else of a snapshot than was written."""

    def create(self, key: str, data: bytes) -> bool:
        return LocalStore.create(self, key, data[:-9] if key.endswith(".snapshot.json") else data)


def test_what_can_not_be_read_back_is_not_published(zone: Zone, tmp_path: Path) -> None:
    zone.publish()
    before = zone.store.get(layout.metadata("shop", "web", "timestamp.json"))
    zone.approve("two")
    with pytest.raises(RefusedError, match="read back"):
        zone.publish(store=_Forgetful(tmp_path / "store"))
    assert zone.store.get(layout.metadata("shop", "web", "timestamp.json")) == before
    assert zone.publish().changed


class _Watched(LocalStore):
    """A store whose directory keeps what was read of targets in a file of its own."""

    def get(self, key: str) -> bytes | None:
        if "/targets/" in key:
            with (self.root.parent / "read").open("a") as stream:
                stream.write(f"{key}\n")
        return LocalStore.get(self, key)


def test_a_step_of_a_rollout_reads_back_its_document_and_nothing_that_grows_with_the_fleet(zone: Zone, tmp_path: Path) -> None:
    document = zone.publish().document
    work, standing = zone.work(store=_Watched(tmp_path / "store")), published(zone)
    releases = read_newest(zone.store, work.trust, "web")
    assert releases is not None
    wave = msgspec.structs.replace(document, serial=document.serial + 1)
    floors = floors_of(standing, Floors())
    publish_fleet(work, releases=releases, document=wave, standing=standing, floors=floors, stored=standing.stored)
    assert published(zone).document == wave
    assert {key.split("/")[4] for key in (tmp_path / "read").read_text().split()} == {"rollouts"}


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.rglob("*.tmp"))
