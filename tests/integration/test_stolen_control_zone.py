"""A `serve` that was taken over: it holds every online key and the store, and still makes up no state for a host.

What it hands out is read by python-tuf's own client where that alone refuses it, and by the agent's reading of a repository, which
also knows whose files it wants and what it has seen. The attacker here writes to the store directly; nothing of ours checks it first.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import RepositoryError

from agent.protocol import bundle, codec, membership
from agent.protocol.errors import OrdainError, RefusedError
from agent.protocol.rollout import Release
from reconciler.control.api.application import application
from reconciler.publication import layout, metadata
from reconciler.publication.keys import KeyRing
from reconciler.publication.releases import read_newest
from tests.polling_cases import Host
from tests.publication_cases import ONE_AGENT, Zone, bundle_of, make_zone, now, serving
from tests.thief_cases import LIFE, Thief


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    made = make_zone(tmp_path)
    for fleet in ("web", "db"):
        made.approve("first", fleet=fleet)
        made.publish(fleet=fleet)
    return made


@pytest.fixture
def host(zone: Zone, tmp_path: Path) -> Iterator[Host]:
    with serving(application(zone.store)) as url:
        made = Host(root=zone.trust.roots[0], directory=tmp_path / "host", url=url)
        assert made.takes() == "first"
        made.tuf().refresh()
        yield made


@pytest.fixture
def thief(zone: Zone) -> Thief:
    return Thief(zone=zone)


def test_it_may_point_at_another_release_that_was_approved_and_that_is_all(zone: Zone, host: Host, thief: Thief) -> None:
    zone.approve("second")
    zone.publish()
    assert host.takes() == "second"
    first = Release(digest=bundle_of("first")[1], members=1)
    thief.publish(thief.document(stable=first, serial=90), number=90)
    assert host.takes() == "first"


def test_a_bundle_of_its_own_gets_nowhere(host: Host, thief: Thief) -> None:
    data, digest = bundle_of("evil")
    packed, path = bundle.pack(data), bundle.target("web", digest)
    evil = Release(digest=digest, members=1)
    thief.publish(thief.document(stable=evil, serial=90), number=90, also={path: packed})
    assert host.tuf().get_targetinfo(path) is None, "the rollouts role says nothing about bundles, whatever it lists"
    with pytest.raises(RefusedError, match="listed by nobody who may"):
        host.takes()


def test_members_of_its_own_get_nowhere(host: Host, thief: Thief) -> None:
    document, _ = membership.split("shop/web", 9, {}, dict(ONE_AGENT))
    stable = Release(digest=bundle_of("first")[1], members=9)
    thief.publish(thief.document(stable=stable, serial=90), number=90, also={membership.target(9): codec.canonical(document)})
    assert host.tuf().get_targetinfo(membership.target(9)) is None
    with pytest.raises(RefusedError, match="listed by nobody who may"):
        host.takes()


def test_releases_that_it_signed_itself_get_nowhere(host: Host, thief: Thief) -> None:
    data, digest = bundle_of("evil")
    packed, path = bundle.pack(data), bundle.target("web", digest)
    thief.put_target(path, packed)
    listed = {path: metadata.target_file(path, packed)}
    for role in ("rollouts", "snapshot", "timestamp"):
        releases = thief.sign(metadata.role("shop/web", listed, version=90, expires=now() + LIFE), role)
        thief.put(layout.metadata("shop", "web", "90.releases.json"), releases)
        stable = Release(digest=digest, members=1)
        thief.publish(thief.document(stable=stable, serial=90), number=90, releases=metadata.meta_file(90, releases))
        with pytest.raises(RepositoryError):
            host.tuf().get_targetinfo(path)
        with pytest.raises(RefusedError):
            host.takes()


def test_other_bytes_under_an_approved_name_get_nowhere(host: Host, thief: Thief, tmp_path: Path) -> None:
    evil = bundle.pack(bundle_of("evil")[0])
    for key in list(thief.zone.store.list("public/shop/web/targets/bundles/")):
        thief.put(key, evil)
    path = bundle.target("web", bundle_of("first")[1])
    with serving(application(thief.zone.store)) as url:  # begun anew: nothing from before is kept in memory
        client = Host(root=host.root, directory=host.directory, url=url).tuf()
        listed = client.get_targetinfo(path)
        assert listed is not None
        with pytest.raises(RepositoryError):
            client.download_target(listed)
        fresh = Host(root=host.root, directory=tmp_path / "fresh", url=url)
        with pytest.raises(OrdainError):
            fresh.takes()


def test_another_fleets_release_gets_nowhere(zone: Zone, host: Host, thief: Thief) -> None:
    """Both fleets' releases are signed by one key, so what keeps them apart is the signed `x-fleet`."""
    zone.approve("for db alone", fleet="db")
    theirs = read_newest(zone.store, zone.trust, "db")
    assert theirs is not None
    assert theirs.desired is not None
    name = f"{theirs.version}.releases.json"
    thief.put(layout.metadata("shop", "web", name), theirs.data)
    for path, file in theirs.signed.targets.items():
        data = zone.store.get(layout.approved("shop", "db", path)) or b""
        thief.put(layout.target("shop", "web", path, file.hashes["sha256"]), data)
    releases = metadata.meta_file(theirs.version, theirs.data)
    thief.publish(thief.document(stable=theirs.desired, serial=90), number=90, releases=releases)
    with pytest.raises(RefusedError, match="shop/db"):
        host.takes()


def test_another_fleets_whole_repository_gets_nowhere_and_blocks_nothing_afterwards(zone: Zone, host: Host, thief: Thief) -> None:
    own = {key: zone.store.get(key) or b"" for key in zone.store.list("public/shop/web/")}
    for key in list(zone.store.list("public/shop/db/")):
        thief.put(key.replace("public/shop/db/", "public/shop/web/", 1), zone.store.get(key) or b"")
    with pytest.raises(RefusedError, match="shop/db"):
        host.poll()
    for key, data in own.items():
        thief.put(key, data)
    assert host.takes() == "first"


def test_an_older_rollout_document_gets_nowhere_though_it_is_signed_anew(zone: Zone, host: Host, thief: Thief) -> None:
    old = thief.document()
    zone.approve("second")
    zone.publish()
    assert host.takes() == "second"
    thief.publish(old, number=90)
    with pytest.raises(RefusedError, match="serial"):
        host.takes()


def test_a_repository_as_it_was_yesterday_gets_nowhere(zone: Zone, host: Host, thief: Thief) -> None:
    yesterday = {key: zone.store.get(key) or b"" for key in zone.store.list("public/shop/web/metadata/")}
    zone.approve("second")
    zone.publish()
    assert host.takes() == "second"
    host.tuf().refresh()
    for key, data in yesterday.items():
        thief.put(key, data)
    with pytest.raises(RepositoryError):
        host.tuf().refresh()
    with pytest.raises(RefusedError):
        host.takes()


def test_another_tenants_root_gets_nowhere_though_the_same_people_signed_it(host: Host, thief: Thief, tmp_path: Path) -> None:
    """Tenants may share offline keys, so a rotated root of one is a valid successor of another's but for its signed `x-tenant`."""
    lab = make_zone(tmp_path, "lab")
    keys = {name: [lab.trust.root.keys[keyid] for keyid in role.keyids] for name, role in lab.trust.root.roles.items()}
    offline = KeyRing(zone="offline", directory=tmp_path / "keys" / "offline")
    rotated = metadata.root("lab", keys, now=now(), version=2)
    thief.put(
        layout.metadata("shop", "web", "2.root.json"), metadata.sign(rotated, [offline.signer(f"root-{number}") for number in (1, 2)])
    )
    with pytest.raises(RepositoryError, match="timestamp was signed by 0/1 keys"):
        host.tuf().refresh()
    with pytest.raises(RefusedError, match="lab"):
        host.takes()
