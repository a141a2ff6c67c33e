"""Keys are rotated under the eyes of agents that were given the first root and nothing since."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.errors import InputError, RefusedError
from agent.trust import floors
from reconciler.control.api.application import application
from reconciler.pipeline import accepted
from reconciler.pipeline.signing import decision_keys, repository_signing
from reconciler.publication import controls, envelope, layout, releases
from reconciler.publication.published import read_published
from reconciler.publication.trust import Trust, keys_ever, read_trust
from tests.key_cases import Installation, refused, typed
from tests.polling_cases import Host
from tests.publication_cases import now, serving


@pytest.fixture
def installed(tmp_path: Path) -> Installation:
    made = Installation(directory=tmp_path)
    made.found()
    zone = made.zone()
    for fleet in ("web", "db"):
        zone.approve("first", fleet=fleet)
    made.controls("web", "db", frozen=["db"])
    made.publish()
    return made


@pytest.fixture
def host(installed: Installation, tmp_path: Path) -> Iterator[Host]:
    with serving(application(installed.store)) as url:
        made = Host(root=installed.store.get("trust/shop/1.root.json") or b"", directory=tmp_path / "host", url=url)
        assert made.takes() == "first"
        yield made


def trust(installed: Installation, tenant: str = "shop") -> Trust:
    found = read_trust(installed.store, tenant)
    assert found is not None
    return found


def published(installed: Installation, fleet: str = "web") -> int:
    found = read_published(installed.store, "shop", fleet)
    assert found is not None
    assert not found.unsigned(trust(installed))
    return found.timestamp.version


def seen(host: Host) -> dict[str, dict[str, int]]:
    return floors.read(host.directory / host.fleet / "agent" / "floors.json").marks


@pytest.mark.parametrize(
    "roles", [("timestamp", "snapshot"), ("timestamp",), ("snapshot",), ("rollouts",), ("timestamp", "snapshot", "rollouts")]
)
def test_online_keys_are_rotated_and_agents_go_on_with_floors_of_the_new_ones(
    installed: Installation, host: Host, roles: tuple[str, ...]
) -> None:
    before = {role: installed.signer(f"shop/{role}").public_key.keyid for role in roles}
    installed.make("control", *roles)
    shown = installed.rotate(*roles, zones=["control"])
    assert all(f"{role}: {before[role][:12]} → " in shown for role in roles)
    installed.publish()
    assert host.takes() == "first"
    assert not any(keyid in marks for keyid in before.values() for marks in seen(host).values())
    assert "retired" in installed.retire("control")
    installed.zone().approve("second")
    installed.publish()
    assert host.takes() == "second"
    assert published(installed) > 1_000_000


def test_a_serve_at_work_takes_the_new_key_by_itself(installed: Installation, host: Host) -> None:
    with installed.serving():
        installed.make("control", "timestamp")
        installed.rotate("timestamp", zones=["control"])
        for _ in range(200):
            found = read_published(installed.store, "shop", "web")
            if found and not found.unsigned(trust(installed)):
                break
            threading.Event().wait(0.05)
        assert host.takes() == "first"


def test_releases_list_both_keys_until_every_fleet_is_signed_with_the_new_one(installed: Installation, host: Host) -> None:
    frozen = Host(root=host.root, directory=host.directory, url=host.url, fleet="db")
    old = installed.ring("pipeline").signer("shop/releases").public_key
    old_controls = installed.store.get(layout.controls("shop")) or b""
    installed.make("pipeline", "releases")
    installed.rotate("releases", zones=["pipeline"])
    assert len(trust(installed).keys("releases")) == 2
    installed.publish()
    assert (host.takes(), frozen.takes()) == ("first", "first"), "what the old key signed is still good"

    def ask() -> str:
        imports = ("--import", installed.directory / "pipeline.json")
        done = refused("rotate", "releases", "--store", installed.store.root, *imports, "--out", installed.directory / "request.json")
        return str(done.exception) if done.exception else ""

    assert "controls, db, web" in ask()
    installed.renew("web")
    installed.publish()
    assert ": db." in ask()
    with pytest.raises(AssertionError, match="still relied on"):
        installed.retire("pipeline")
    installed.renew("web", "db")
    assert ": db, web." not in ask()
    assert ": db." in ask(), "it is signed, and not published yet"
    installed.publish()
    installed.rotate("releases", zones=["pipeline"])
    installed.publish()
    assert [key.keyid for key in trust(installed).keys("releases")] == [installed.signer("shop/releases").public_key.keyid]
    assert (host.takes(), frozen.takes()) == ("first", "first")
    installed.retire("pipeline")
    installed.zone().approve("second")
    installed.publish()
    assert host.takes() == "second"
    _require_readable(installed, old.keyid, old_controls)


def _require_readable(installed: Installation, old: str, old_controls: bytes) -> None:
    """An audit still reads what the retired key signed, by keys that offline keys vouched for; nobody else does."""
    ever = keys_ever(installed.store, "shop", "releases")
    assert ever[0].keyid == old
    assert controls.read(old_controls, ever, tenant="shop").sequence == 1
    first = installed.store.get(layout.approved("shop", "web", "1.releases.json")) or b""
    assert releases.read(releases.delegating_to(*ever), "shop", "web", first, version=1).desired
    with pytest.raises(RefusedError):
        releases.read(trust(installed).targets, "shop", "web", first, version=1)
    assert [key.keyid for key in installed.ring("pipeline").former("shop/releases")] == [old]


def test_a_stolen_releases_key_is_dropped_at_once(installed: Installation, host: Host) -> None:
    installed.make("pipeline", "releases")
    installed.rotate("releases", zones=["pipeline"], more=["--at-once"])
    assert len(trust(installed).keys("releases")) == 1
    installed.renew("web", "db")
    installed.publish()
    assert host.takes() == "first"


def test_root_keys_are_rotated_by_old_and_new_ones_on_several_machines(installed: Installation, host: Host, tmp_path: Path) -> None:
    installed.make("offline", "root-1", "root-2")
    apart = tmp_path / "apart"
    apart.mkdir()
    for name in ("root-2.pem", "root-3.pem", "root-2.next.pem"):
        (installed.directory / "offline" / name).rename(apart / name)
    request = tmp_path / "request.json"
    typed("rotate", "root", "--store", installed.store.root, "--import", tmp_path / "offline.json", "--out", request)
    shown = typed("sign", request, "--keys", installed.directory / "offline", "--out", tmp_path / "half.json")
    assert "1 more of the root keys of before; root: 1 more of the root keys" in shown
    early = refused("import", tmp_path / "half.json", "--store", installed.store.root)
    assert "signatures are missing" in str(early.exception)
    typed("sign", tmp_path / "half.json", "--keys", apart, "--out", tmp_path / "signed.json")
    typed("import", tmp_path / "signed.json", "--store", installed.store.root)
    assert trust(installed).root.version == 2
    installed.publish()
    assert host.takes() == "first"
    assert floors.read(host.directory / "web" / "agent" / "floors.json").root == 2


def test_the_targets_key_is_rotated_with_a_root_and_new_targets(installed: Installation, host: Host) -> None:
    installed.make("offline", "targets")
    installed.rotate("targets", zones=["offline"])
    after = trust(installed)
    assert (after.root.version, after.targets.version) == (2, 2)
    installed.publish()
    assert host.takes() == "first"
    installed.retire("offline")


def test_root_and_targets_are_renewed_with_their_keys(installed: Installation, host: Host, tmp_path: Path) -> None:
    before = trust(installed)
    typed("renew", "--store", installed.store.root, "--out", tmp_path / "request.json")
    typed("sign", tmp_path / "request.json", "--keys", tmp_path / "offline", "--out", tmp_path / "signed.json")
    typed("import", tmp_path / "signed.json", "--store", installed.store.root)
    typed("import", tmp_path / "signed.json", "--store", installed.store.root)
    after = trust(installed)
    assert (after.root.roles, after.root.version, after.targets.version) == (before.root.roles, 2, 2)
    installed.publish()
    assert host.takes() == "first"


def test_many_tenants_are_founded_and_rotated_in_one_ceremony_by_files(tmp_path: Path) -> None:
    made = Installation(directory=tmp_path, tenants=("shop", "lab", "ops"))
    for zone in ("pipeline", "control"):
        made.make(zone)
    imports = ("--import", tmp_path / "pipeline.json", "--import", tmp_path / "control.json")
    typed("init", "--zone", "offline", *made.named, "--keys", tmp_path / "offline", *imports, "--out", tmp_path / "signed.json")
    assert not (tmp_path / "store").exists(), "the offline machine has no store"
    typed("import", tmp_path / "signed.json", "--store", tmp_path / "store")
    made.make("control", "timestamp", "snapshot")
    made.rotate("timestamp", "snapshot", zones=["control"])
    for tenant in made.tenants:
        after = trust(made, tenant)
        assert after.root.version == 2
        assert after.root.roles["timestamp"].keyids == [made.signer(f"{tenant}/timestamp").public_key.keyid]
        assert after.root.unrecognized_fields["x-tenant"] == tenant


def test_what_is_to_be_signed_does_nothing_but_change_keys(installed: Installation, tmp_path: Path) -> None:
    installed.make("control", "timestamp")
    request = tmp_path / "request.json"
    typed("rotate", "timestamp", "--store", installed.store.root, "--import", tmp_path / "control.json", "--out", request)
    honest = json.loads(request.read_text())

    def asks(change: object) -> str:
        document = json.loads(json.dumps(honest))
        root = json.loads(document["changes"][0]["newRoot"])
        change(root["signed"], document["changes"][0])  # type: ignore[operator]
        document["changes"][0]["newRoot"] = json.dumps(root)
        request.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
        done = refused("sign", request, "--keys", tmp_path / "offline", "--out", tmp_path / "signed.json")
        assert not (tmp_path / "signed.json").exists()
        return str(done.exception)

    assert "not what rotating keys makes" in asks(lambda root, _: root["roles"]["root"].update(threshold=1))
    assert "not what rotating keys makes" in asks(lambda root, _: root.update({"x-tenant": "lab"}))
    assert "not what rotating keys makes" in asks(lambda root, _: root.update(version=9))
    assert "is a clock wrong" in asks(lambda root, _: root.update(expires="2099-01-01T00:00:00Z"))
    assert "only the root key may sign it" in asks(
        lambda _, change: change.update(roots=[change["roots"][0].replace('"threshold":2', '"threshold":1')])
    )


def test_a_request_made_before_another_change_is_not_taken_over(installed: Installation, tmp_path: Path) -> None:
    installed.make("control", "timestamp", "snapshot")
    for role in ("timestamp", "snapshot"):
        request = tmp_path / f"{role}.json"
        typed("rotate", role, "--store", installed.store.root, "--import", tmp_path / "control.json", "--out", request)
        typed("sign", request, "--keys", tmp_path / "offline", "--out", request)
    typed("import", tmp_path / "timestamp.json", "--store", installed.store.root)
    late = refused("import", tmp_path / "snapshot.json", "--store", installed.store.root)
    assert isinstance(late.exception, InputError)
    assert "changed since" in str(late.exception)


def test_a_key_can_only_be_rotated_to_another_one(installed: Installation, tmp_path: Path) -> None:
    for roles, zone in ((["timestamp"], "control"), (["releases"], "pipeline")):
        words = ("--store", installed.store.root, "--import", tmp_path / f"{zone}.json", "--out", tmp_path / "request.json")
        assert "has this key already" in str(refused("rotate", *roles, *words).exception)
    assert "needs the public keys" in str(
        refused("rotate", "root", "--store", installed.store.root, "--out", tmp_path / "request.json").exception
    )


def test_the_repository_key_is_rotated_without_a_ceremony(installed: Installation) -> None:
    ring = installed.ring("pipeline")
    state = accepted.AcceptedState(
        format=1, sequence=0, expires="", head="a" * 40, tree="b" * 40, judge="", decision=1, record="", examined_at=""
    )
    accepted.write(installed.store, repository_signing(ring).signer, state, None, now=now())
    old = envelope.sign(b"{}", "decision", [ring.signer("repository")])
    installed.make("pipeline", "repository")
    signing = repository_signing(ring)
    stored = accepted.read(installed.store, *signing.known)
    assert stored is not None
    assert "still relied on" in str(
        refused("retire", "--zone", "pipeline", "--keys", ring.directory, "--store", installed.store.root).exception
    )
    assert accepted.sign_again(installed.store, signing.signer, stored, now=now()).state.sequence == 2
    typed("retire", "--zone", "pipeline", "--keys", ring.directory, "--store", installed.store.root)
    assert accepted.read(installed.store, *ring.publics("repository")) is not None
    assert envelope.verify(old, "decision", decision_keys(ring)) == b"{}"
