"""A copy of a fleet's repository: whole, verified, and only ever newer."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import urllib3
from tuf.ngclient import Updater

from agent.protocol import bundle, codec
from agent.protocol.bundle import Bundle, Group
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.membership import Member
from agent.protocol.rollout import Release, RolloutDocument
from agent.protocol.state import Artifact, ArtifactSource, State
from reconciler.mirror.copying import Copied, copy_fleet
from reconciler.mirror.sources import CHUNK, HttpSource, StoreSource
from reconciler.pipeline.approve import approve_release
from reconciler.publication import layout
from reconciler.publication.client import Client
from reconciler.publication.store import LocalStore
from tests.publication_cases import COMMIT, FRESHNESS, Zone, bundle_of, make_zone, now
from tests.thief_cases import Thief

ARTIFACT = b"a build" * CHUNK
SHA = sha256(ARTIFACT).hexdigest()


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    made = make_zone(tmp_path)
    made.approve("one")
    made.publish()
    return made


@pytest.fixture
def site(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "site")


def copy(zone: Zone, site: LocalStore, *, after: timedelta = timedelta()) -> Copied:
    return copy_fleet(StoreSource(zone.store), site, tenant="shop", fleet="web", root=zone.trust.roots[0], now=now() + after)


def approve_with_artifact(zone: Zone, url: str) -> None:
    state = State(artifacts=[Artifact(name="build", path="/opt/build", platforms={"linux/amd64": ArtifactSource(url=url, sha256=SHA)})])
    data = bundle.encode(Bundle(format=bundle.FORMAT, fleet="shop/web", groups={"all": Group(base=state)}))
    approve_release(
        zone.store,
        zone.rings.pipeline.signer("shop/releases"),
        tenant="shop",
        fleet="web",
        data=data,
        digest=codec.sha256(data),
        pools={},
        agents={"web-01": Member(group="all")},
        commit=COMMIT,
        decision=1,
        freshness_seconds=int(FRESHNESS.total_seconds()),
        now=now(),
    )


def read_as_an_agent(site: LocalStore, zone: Zone, path: str) -> bytes:
    client = Client(site.get, fleet="shop/web", root=zone.trust.roots[0], now=now(), standing={})
    client.refresh()
    return client.download(path)


def test_a_copy_is_read_as_the_repository_itself(zone: Zone, site: LocalStore) -> None:
    copied = copy(zone, site)
    assert (copied.before, copied.after, copied.changed) == (0, 1, True)
    path = bundle.target("web", bundle_of("one")[1])
    assert read_as_an_agent(site, zone, path) == bundle.pack(bundle_of("one")[0])


def test_what_is_there_already_is_not_copied_again(zone: Zone, site: LocalStore) -> None:
    copy(zone, site)
    before = {key: site.version(key) for key in site.list("public/")}
    again = copy(zone, site)
    assert (again.changed, again.files, again.bytes) == (False, 0, 0)
    assert {key: site.version(key) for key in site.list("public/")} == before


def test_only_what_is_new_is_written(zone: Zone, site: LocalStore) -> None:
    copy(zone, site)
    zone.approve("two")
    zone.publish()
    # Bundle, rollout document, releases, rollouts, snapshot, timestamp: members, root and targets stay.
    assert copy(zone, site).files == 6


def test_shards_of_large_fleets_come_along(zone: Zone, site: LocalStore) -> None:
    zone.approve("one", agents={f"web-{number}": Member(group="all") for number in range(300)})
    zone.publish()
    copy(zone, site)
    at_home = {key for key in zone.store.list("public/shop/web/targets/members/") if ".2.json" not in key}
    assert len(at_home) > 2
    assert set(site.list("public/shop/web/targets/members/")) >= at_home - {key for key in at_home if key.endswith(".1.json")}


def test_a_copy_never_goes_back(zone: Zone, site: LocalStore, tmp_path: Path) -> None:
    old = LocalStore(tmp_path / "old")
    copy(zone, old)
    zone.approve("two")
    zone.publish()
    copy(zone, site)
    with pytest.raises(RefusedError, match="shop/web"):
        copy_fleet(StoreSource(old), site, tenant="shop", fleet="web", root=zone.trust.roots[0], now=now())
    assert copy(zone, site).after == 2


def test_what_has_expired_is_refused_and_the_copy_stays(zone: Zone, site: LocalStore) -> None:
    copy(zone, site)
    with pytest.raises(RefusedError, match="expired"):
        copy(zone, site, after=FRESHNESS + timedelta(minutes=1))
    assert site.get(layout.metadata("shop", "web", "timestamp.json")) == zone.store.get(layout.metadata("shop", "web", "timestamp.json"))


def test_a_release_that_was_never_approved_is_not_stored(zone: Zone, site: LocalStore) -> None:
    evil = bundle_of("evil")[1]
    document = RolloutDocument(
        format=1,
        fleet="shop/web",
        serial=2,
        epoch=1,
        attempt=1,
        stable=Release(digest=evil, members=1),
        candidate=None,
        not_before="2026-01-01T00:00:00Z",
    )
    Thief(zone=zone).publish(document, number=2)
    with pytest.raises(RefusedError, match="not listed"):
        copy(zone, site)
    assert not list(site.list("public/"))


def test_another_fleets_files_are_refused(zone: Zone, site: LocalStore) -> None:
    zone.approve("other", fleet="lab")
    zone.publish(fleet="lab")

    class Swapped(StoreSource):
        def get(self, key: str) -> bytes | None:
            return super().get(key.replace("/web/", "/lab/"))

    with pytest.raises(RefusedError):
        copy_fleet(Swapped(zone.store), site, tenant="shop", fleet="web", root=zone.trust.roots[0], now=now())
    assert not list(site.list("public/"))


def test_stored_artifacts_come_along_once(zone: Zone, site: LocalStore) -> None:
    zone.store.create(layout.artifact("shop", SHA), ARTIFACT)
    approve_with_artifact(zone, "store:build")
    zone.publish()
    copied = copy(zone, site)
    assert (copied.artifacts, site.get(layout.artifact("shop", SHA))) == (1, ARTIFACT)
    zone.publish(at=now() + timedelta(hours=2))
    assert copy(zone, site).artifacts == 0


def test_artifacts_from_elsewhere_stay_there(zone: Zone, site: LocalStore) -> None:
    approve_with_artifact(zone, "https://example.com/build")
    zone.publish()
    assert copy(zone, site).artifacts == 0


@pytest.mark.parametrize(("held", "error"), [(None, RetryError), (b"other bytes", RefusedError)])
def test_without_its_artifacts_a_release_is_not_shown(zone: Zone, site: LocalStore, held: bytes | None, error: type[Exception]) -> None:
    if held is not None:
        zone.store.create(layout.artifact("shop", SHA), held)
    approve_with_artifact(zone, "store:build")
    zone.publish()
    with pytest.raises(error, match=SHA):
        copy(zone, site)
    assert not list(site.list("public/"))
    assert site.get(layout.artifact("shop", SHA)) is None


def dying(directory: Path, *, writes: int) -> LocalStore:
    """Return a store whose process dies after this many writes."""
    left = iter(range(writes))

    class Dying(LocalStore):
        def create(self, key: str, data: bytes) -> bool:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return LocalStore.create(self, key, data)

    return Dying(directory)


@pytest.mark.parametrize("writes", range(7))
def test_a_copy_that_was_interrupted_is_finished_and_never_read_by_half(zone: Zone, tmp_path: Path, writes: int) -> None:
    site = dying(tmp_path / "site", writes=writes)
    with pytest.raises(KeyboardInterrupt):
        copy(zone, site)
    assert site.get(layout.metadata("shop", "web", "timestamp.json")) is None
    assert copy(zone, LocalStore(tmp_path / "site")).changed
    read_as_an_agent(LocalStore(tmp_path / "site"), zone, bundle.target("web", bundle_of("one")[1]))


def test_a_damaged_timestamp_of_the_copy_is_made_anew(zone: Zone, site: LocalStore) -> None:
    copy(zone, site)
    key = layout.metadata("shop", "web", "timestamp.json")
    assert site.replace(key, b"{", site.version(key))
    assert copy(zone, site).changed
    assert site.get(key) == zone.store.get(key)


def test_a_root_that_hosts_started_from_long_ago_is_in_the_copy(zone: Zone, site: LocalStore) -> None:
    copy(zone, site)
    assert site.get(layout.metadata("shop", "web", "1.root.json")) == zone.trust.roots[0]


@pytest.fixture
def nowhere() -> Iterator[HttpSource]:
    with urllib3.PoolManager() as pool:
        yield HttpSource("http://127.0.0.1:9", pool)


def test_a_server_that_is_away_is_tried_again_later(zone: Zone, site: LocalStore, nowhere: HttpSource) -> None:
    with pytest.raises(RetryError, match=r"127\.0\.0\.1:9"):
        copy_fleet(nowhere, site, tenant="shop", fleet="web", root=zone.trust.roots[0], now=now())


def test_a_client_that_sees_nothing_of_what_stood_before_is_refused(zone: Zone, site: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    copy(zone, site)
    before = site.get(layout.metadata("shop", "web", "timestamp.json"))
    assert before is not None
    monkeypatch.setattr(Client, "_load_local_metadata", Updater._load_local_metadata)  # noqa: SLF001 - as if python-tuf had renamed it
    client = Client(site.get, fleet="shop/web", root=zone.trust.roots[0], now=now(), standing={"timestamp": before})
    with pytest.raises(RefusedError, match="does not look at what stood before"):
        client.refresh()
