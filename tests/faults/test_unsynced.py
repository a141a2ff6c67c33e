"""A power loss at any instant, with a disk that forgets what was not fsynced: the old stands afterwards, or the new."""

import hashlib
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.apply.recover import recover
from agent.disk import Disk as AgentDisk
from agent.host import Host
from agent.protocol import codec
from agent.protocol.state import File, State
from agent.trust import floors
from reconciler.pipeline import accepted
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import LocalStore
from tests import agent_cases
from tests.acceptance_cases import component, repository
from tests.agent_cases import Rig
from tests.e2e.installation import Installation
from tests.faults import checks, preload, recording
from tests.faults.client import Client, FileFetcher

pytestmark = [pytest.mark.needs("cc"), pytest.mark.timeout(600)]
WAYS = ("nothing", "names", "some")
CHANCE = 5
SECOND_SERIAL = 2
SOME = pytest.mark.parametrize(
    "stride", [pytest.param(3, id="each-third-instant"), pytest.param(1, id="each-instant", marks=pytest.mark.slow)]
)
"""How many instants are passed over: each is tried by `make test-faults`."""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preload.build("record", tmp_path_factory.mktemp("shim"))


def losses(disk: recording.Disk, log: Path, scratch: Path, *, stride: int = 1) -> Iterator[tuple[str, Mapping[Path, Path]]]:
    """Yield each disk that a power loss may leave, once: what was done last, and where each directory of the run lies now."""
    chance, seen = random.Random(CHANCE), set()
    for number, line in enumerate(disk.play(log)):
        for how in () if number % stride else WAYS:
            trees = disk.lost(how, chance)
            mark = hashlib.sha256(repr(trees).encode()).digest()
            if mark in seen:
                continue
            seen.add(mark)
            places = {top: scratch / str(index) for index, top in enumerate(trees)}
            links: dict[int, Path] = {}
            for top, tree in trees.items():
                recording.put(tree, places[top], links)
            yield f"after step {number} ({line}), kept {how} of what was not fsynced", places
            shutil.rmtree(scratch)
    assert len(seen) > 1, "nothing was recorded"


@SOME
def test_a_store_after_a_power_loss_leads_a_client_and_the_reconciler_to_the_old_or_the_new(
    tmp_path: Path, shim: Path, stride: int
) -> None:
    made = Installation(tmp_path)
    motd = "tenants/shop/components/motd.yaml"
    try:
        heads = [made.commit(repository() | {motd: component("motd", "/etc/motd", "old")})]
        made.up()
        made.examined(heads[0])
        made.down()
        store = made.state / "store"
        disk, log = recording.Disk(store), tmp_path / "log"
        heads.append(made.commit({motd: component("motd", "/etc/motd", "new")}))
        made.up(environment=recording.environment(shim, log, store))
        made.examined(heads[1])
        made.down()
    finally:
        made.stop()
    serials, found = [], set()
    for what, places in losses(disk, log, tmp_path / "scratch", stride=stride):
        serial, head = _read(made, places[store], what)
        serials.append(serial)
        found.add(head)
    assert found == set(heads)
    assert set(serials) == {1, 2}


def _read(made: Installation, store: Path, what: str) -> tuple[int, str]:
    """Return the serial that a new client finds, and the head that a reconciler goes on from."""
    client = Client(f"file:{store}/public/shop/web", made.state / "trust/shop.root.json", fetcher=FileFetcher())
    client.poll()
    assert not client.broken, what
    assert client.polls == 1, what
    kept = LocalStore(store)
    stored = accepted.read(kept, KeyRing(zone="pipeline", directory=made.state / "keys/pipeline").public("repository"))
    assert stored is not None, what
    for digest in stored.state.objects:
        data = kept.get(accepted.object_key(digest))
        assert data is not None, what
        assert codec.sha256(data) == digest, what
    assert len(checks.decisions(kept, made.state / "keys")) == stored.state.decision, what
    return client.serial, stored.state.head


def test_a_writer_that_syncs_nothing_is_caught(tmp_path: Path, shim: Path) -> None:
    """What the other two tests find would be worth nothing if this one found nothing."""
    watched, log = tmp_path / "watched", tmp_path / "log"
    watched.mkdir()
    (watched / "file").write_text("old")
    disk = recording.Disk(watched)
    script = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); (p / 'new').write_text('new'); (p / 'new').rename(p / 'file')"
    environment = recording.environment(shim, log, watched)
    subprocess.run([sys.executable, "-c", script, str(watched)], env=environment, check=True)
    found = {(places[watched] / "file").read_text() for _, places in losses(disk, log, tmp_path / "scratch")}
    assert found == {"old", ""}


def test_what_create_found_there_is_there_for_keeps_whoever_put_it(tmp_path: Path, shim: Path) -> None:
    """Another writer put the file, in a directory that it made too, and died before it fsynced either name."""
    watched, log = tmp_path / "watched", tmp_path / "log"
    watched.mkdir()
    disk = recording.Disk(watched)
    other = (
        "import os, sys, pathlib; from agent.protocol import durable; top = pathlib.Path(sys.argv[1])\n"
        "durable.make_directory(top / 'a'); (top / 'a/b').mkdir()\n"
        "durable._settle = lambda path: None\n"
        "durable.create(top / 'a/b/file', b'x')"
    )
    relying = (
        "import sys, pathlib; from agent.protocol import durable; top = pathlib.Path(sys.argv[1])\n"
        "assert not durable.create(top / 'a/b/file', b'y')\n"
        "durable.replace(top / 'relying', b'on it')"
    )
    environment = recording.environment(shim, log, watched)
    fatal = environment | {"ORDAIN_FAULT": "durable:after-name"}
    assert subprocess.run([sys.executable, "-c", other, str(watched)], env=fatal, check=False).returncode == -signal.SIGKILL
    subprocess.run([sys.executable, "-c", relying, str(watched)], env=environment, check=True)
    lost = 0
    for what, places in losses(disk, log, tmp_path / "scratch"):
        file, relied = places[watched] / "a/b/file", places[watched] / "relying"
        lost += not file.exists()
        assert file.exists() or not relied.exists(), f"{what}: what was relied on is gone"
    assert lost, "the file was never at risk"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path) as made:
        yield made


def release(word: str) -> State:
    files = [
        File(path="/etc/both", content=word),
        File(path="/etc/more", content=word),
        File(path="/etc/link", type="symlink", target=word),
        File(path=f"/etc/{word}-only/deep/file", content=word),
        File(path="/etc/foreign", content="ours") if word == "old" else File(path="/etc/shape/x", content="x"),
    ]
    if word == "old":
        files.append(File(path="/etc/shape", content="a file first"))
    return State(files=files)


def files_below(root: Path) -> dict[str, str]:
    found = (path for path in sorted(root.rglob("*")) if path.is_symlink() or path.is_file())
    return {str(path.relative_to(root)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text() for path in found}


@SOME
def test_a_host_after_a_power_loss_and_recovery_holds_all_of_the_old_or_all_of_the_new(
    rig: Rig, tmp_path: Path, shim: Path, stride: int
) -> None:
    (rig.root / "etc").mkdir()
    (rig.root / "etc/foreign").write_text("was here before")
    rig.fleet().publish(release("old"), ["web-01"])
    assert rig.poll() == 0, rig.log
    old = files_below(rig.root)
    rig.fleet().publish(release("new"), ["web-01"])
    disk, log = recording.Disk(rig.root, rig.state), tmp_path / "log"
    environment = recording.environment(shim, log, rig.root, rig.state)
    done = subprocess.run(rig.command("--once"), env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    new = files_below(rig.root)
    assert new["etc/both"] == "new"
    seen = []
    for what, places in losses(disk, log, tmp_path / "scratch", stride=stride):
        recover(Host(places[rig.root]), AgentDisk(root=places[rig.state]))
        found = files_below(places[rig.root])
        assert found in (old, new), f"{what}: {found}"
        seen.append("new" if found == new else "old")
        seen_serial = max(floors.read(places[rig.state] / "fleets/web/floors.json").marks["serial"].values())
        assert found == old or seen_serial == SECOND_SERIAL, f"{what}: the host holds what it does not know it has seen"
    assert set(seen) == {"old", "new"}
