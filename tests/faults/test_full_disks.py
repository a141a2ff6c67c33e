"""Disks that are full in earnest, at the first page or some pages later: a shim can't show that, nor half-written files."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.state import File, State
from tests import agent_cases
from tests.acceptance_cases import component, repository
from tests.agent_cases import Rig
from tests.e2e.installation import Installation, until
from tests.faults import checks, small_disks
from tests.faults.client import Client, FileFetcher

pytestmark = [pytest.mark.slow, pytest.mark.needs("mount"), pytest.mark.timeout(1800)]
MOTD = "tenants/shop/components/motd.yaml"
PAGES = (0, 1, 2, 5, 12, 30)
"""Free when a change comes: none of it fits, some of it, all of it."""
FULL = os.strerror(errno.ENOSPC)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "installation")
    yield made
    made.stop()


@pytest.mark.needs("opa", "git")
@pytest.mark.parametrize("part", ["store", "mirror.git", ""], ids=["store", "mirror", "state"])
def test_a_control_plane_on_a_full_disk_says_so_keeps_what_was_and_goes_on_with_space(installation: Installation, part: str) -> None:
    installation.state.mkdir(mode=0o700)
    with small_disks.mounted(installation.state / part) as disk:
        head = installation.commit(repository() | {MOTD: component("motd", "/etc/motd", "first")})
        installation.up()
        installation.examined(head)
        client = Client(
            f"file:{installation.state}/store/public/shop/web", installation.state / "trust/shop.root.json", fetcher=FileFetcher()
        )
        said = 0
        for free in PAGES:
            begun = installation.log.stat().st_size
            with disk.full(free):
                head = installation.commit({MOTD: component("motd", "/etc/motd", f"free {free}"), "notes.txt": _bulk()})
                until(FULL, lambda begun=begun, head=head: _told(installation, begun, head), patience=120, log=installation.log)  # type: ignore[misc]
                said += FULL.encode() in installation.log.read_bytes()[begun:]
                assert not installation.process_ended
                client.poll()
            installation.examined(head)
            client.poll()
            assert installation.once("web-01").returncode == 0
            assert installation.content("web-01", "/etc/motd") == f"free {free}"
        assert said
        installation.down()
    assert not client.broken
    assert checks.tracebacks([installation.log]) == []


def _bulk() -> str:
    """Return what no pack makes small: it takes several pages of the mirror."""
    return os.urandom(20 * small_disks.PAGE).hex()


def _told(installation: Installation, begun: int, head: str) -> bool:
    """Return whether the log says what is wrong, or all fitted in."""
    if FULL.encode() in installation.log.read_bytes()[begun:] or installation.process_ended:
        return True
    found = installation.status()
    return bool(found["ready"]) and found["head"] == head


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path / "rig") as made:
        yield made


def release(word: str) -> State:
    """Return a state with a file of several pages: a full disk may take the beginning of it."""
    files = [File(path=path, content=word) for path in ("/etc/both", f"/etc/{word}-only/deep/file")]
    return State(files=[*files, File(path="/etc/more", content=word * 3000)])


@pytest.mark.parametrize("part", ["state", "host"])
def test_an_agent_on_a_full_disk_says_so_leaves_the_host_as_it_is_and_applies_with_space(rig: Rig, part: str) -> None:
    with small_disks.mounted(rig.directory / part, megabytes=4) as disk:
        rig.fleet().publish(release("word0"), ["web-01"])
        assert rig.poll() == 0, rig.log
        refusals = 0
        for number, free in enumerate(PAGES, start=1):
            rig.fleet().publish(release(f"word{number}"), ["web-01"])
            with disk.full(free):
                done = _once(rig)
                assert "Traceback" not in done.stderr
                word = number - 1 if done.returncode else number
                assert done.returncode == 0 or FULL in done.stderr, done.stderr
                refusals += done.returncode != 0
                _holds(rig, word)
            done = _once(rig)
            assert done.returncode == 0, done.stderr
            _holds(rig, number)
            assert not [path for path in rig.tree() if ".ordain-" in path]
            assert not [*rig.state.rglob("*.tmp")]
        assert refusals


def _holds(rig: Rig, number: int) -> None:
    word = f"word{number}"
    assert rig.text("/etc/both") == rig.text(f"/etc/{word}-only/deep/file") == word
    assert rig.text("/etc/more") == word * 3000


def _once(rig: Rig) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(rig.command("--once"), capture_output=True, text=True, check=False, timeout=120)
