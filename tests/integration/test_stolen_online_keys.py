"""The drill of docs/runbooks/stolen-online-keys.md: all keys of the control zone are stolen, and the thief could write to its store."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import bundle
from agent.protocol.errors import RefusedError
from agent.protocol.rollout import Release
from agent.trust import floors
from reconciler.control.api.application import application
from reconciler.publication import layout
from reconciler.publication.ceremony import Rings
from reconciler.publication.keys import KeyRing
from reconciler.publication.published import read_published
from tests.key_cases import Installation
from tests.polling_cases import Host
from tests.publication_cases import Zone, bundle_of, serving
from tests.thief_cases import Thief

FAR = 10**13


@pytest.fixture
def installed(tmp_path: Path) -> Installation:
    made = Installation(directory=tmp_path)
    made.found()
    made.zone().approve("first")
    made.controls("web")
    made.publish()
    return made


@pytest.fixture
def host(installed: Installation, tmp_path: Path) -> Iterator[Host]:
    with serving(application(installed.store)) as url:
        made = Host(root=installed.store.get("trust/shop/1.root.json") or b"", directory=tmp_path / "host", url=url)
        assert made.takes() == "first"
        yield made


@pytest.fixture
def thief(installed: Installation, tmp_path: Path) -> Thief:
    shutil.copytree(tmp_path / "control", tmp_path / "stolen")
    stolen = KeyRing(zone="control", directory=tmp_path / "stolen")
    return Thief(zone=Zone(store=installed.store, rings=Rings(pipeline=installed.ring("pipeline"), control=stolen)))


def highest(host: Host) -> int:
    marks = floors.read(host.directory / "web" / "agent" / "floors.json").marks
    return max(number for mark in set(marks) - {"clock"} for number in marks[mark].values())


def attack(thief: Thief) -> None:
    """Offer a bundle that nobody approved, push every number out of reach, and take the lease for good."""
    data, digest = bundle_of("evil")
    files = {bundle.target("web", digest): bundle.pack(data)}
    stable = Release(digest=digest, members=1)
    thief.publish(thief.document(stable=stable, serial=FAR, epoch=FAR, not_before="2099-01-01T00:00:00Z"), number=FAR, also=files)
    lease = b'{"epoch":99,"expires":"2999-01-01T00:00:00Z","format":1,"holder":"thief"}'
    thief.put(layout.CONTROL_LEASE, lease)


def recover(installed: Installation) -> None:
    """Do what the runbook says, in its order."""
    installed.make("control", "timestamp", "snapshot", "rollouts")
    installed.rotate("timestamp", "snapshot", "rollouts", zones=["control"])
    installed.retire("control")
    installed.store.delete(layout.CONTROL_LEASE)
    installed.publish()


def test_stolen_online_keys_bring_nothing_onto_a_host_and_are_worth_nothing_once_they_are_rotated(
    installed: Installation, host: Host, thief: Thief
) -> None:
    attack(thief)
    with pytest.raises(RefusedError, match="listed by nobody who may"):
        host.takes()
    assert highest(host) == FAR, "what the thief pushed up holds for as long as the keys do"
    installed.zone().approve("second")
    recover(installed)
    assert host.takes() == "second"
    assert highest(host) < FAR
    found = read_published(installed.store, "shop", "web")
    assert found is not None
    assert found.document.not_before < "2099"
    thief.publish(thief.document(stable=Release(digest=bundle_of("first")[1], members=1), serial=FAR), number=FAR)
    with pytest.raises(RefusedError):
        host.takes()
    installed.publish()
    assert host.takes() == "second"
    installed.zone().approve("third")
    installed.publish()
    assert host.takes() == "third"


def test_a_host_that_slept_through_the_theft_and_one_that_is_new_are_fine(
    installed: Installation, host: Host, thief: Thief, tmp_path: Path
) -> None:
    attack(thief)
    recover(installed)
    assert host.takes() == "first"
    assert Host(root=host.root, directory=tmp_path / "new", url=host.url).takes() == "first"


def test_a_machine_made_anew_brings_new_keys_the_same_way(installed: Installation, host: Host, thief: Thief, tmp_path: Path) -> None:
    attack(thief)
    with pytest.raises(RefusedError):
        host.takes()
    shutil.rmtree(tmp_path / "control")
    installed.make("control")
    installed.rotate("timestamp", "snapshot", "rollouts", zones=["control"])
    installed.store.delete(layout.CONTROL_LEASE)
    installed.publish()
    assert host.takes() == "first"


def test_rotating_too_few_keys_does_not_undo_what_was_pushed_up(installed: Installation, host: Host, thief: Thief) -> None:
    attack(thief)
    with pytest.raises(RefusedError):
        host.takes()
    installed.make("control", "timestamp")
    installed.rotate("timestamp", zones=["control"])
    installed.store.delete(layout.CONTROL_LEASE)
    installed.publish()
    assert highest(host) == FAR
    installed.retire("control")
    installed.make("control", "snapshot", "rollouts")
    installed.rotate("snapshot", "rollouts", zones=["control"])
    installed.store.delete(layout.CONTROL_LEASE)  # its epoch followed the thief's
    installed.publish()
    assert host.takes() == "first"
    assert highest(host) < FAR
