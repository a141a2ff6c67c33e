"""A disk that is full, read-only, forbidden or broken: a clear error, nothing half done, and on it goes when the disk is well again."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.protocol.state import File, State
from tests import agent_cases
from tests.acceptance_cases import component, repository
from tests.agent_cases import Rig
from tests.e2e.installation import Installation, until
from tests.faults import checks, preload
from tests.faults.client import Client, FileFetcher

pytestmark = [pytest.mark.needs("cc"), pytest.mark.timeout(600)]
MOTD = "tenants/shop/components/motd.yaml"
FEW = (("store/approved", errno.ENOSPC),)
REFUSALS = (
    *FEW,
    ("store/public", errno.EROFS),
    ("mirror.git", errno.EROFS),
    ("mirror.git", errno.EACCES),
    ("mirror.git", errno.ENOSPC),
    ("", errno.EIO),
)
"""Where below the state directory, and how; each costs the seconds after which a round is begun again: few of them in the gate."""
ERRORS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO)
FEW_OF_AGENTS = (("state", errno.ENOSPC), ("host", errno.EROFS))
OF_AGENTS = [
    pytest.param(part, code, id=f"{part}-{errno.errorcode[code]}", marks=() if (part, code) in FEW_OF_AGENTS else pytest.mark.slow)
    for part in ("state", "host")
    for code in ERRORS
]


@dataclass(frozen=True)
class Refusal:
    """A switch: processes with this environment meet a refusing disk while it is on."""

    flag: Path
    library: Path

    @property
    def environment(self) -> dict[str, str]:
        return preload.environment(self.library, ORDAIN_REFUSE=self.flag)

    @contextlib.contextmanager
    def on(self, code: int, directory: Path) -> Iterator[None]:
        beside = self.flag.with_suffix(".new")
        beside.write_text(f"{code} {directory}")
        beside.rename(self.flag)
        try:
            yield
        finally:
            self.flag.unlink()


@pytest.fixture
def refusal(tmp_path: Path) -> Refusal:
    return Refusal(tmp_path / "refusal", preload.build("refuse", tmp_path))


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "installation")
    yield made
    made.stop()


@pytest.mark.needs("opa", "git")
@pytest.mark.parametrize("refusals", [pytest.param(FEW, id="few"), pytest.param(REFUSALS, id="all", marks=pytest.mark.slow)])
def test_a_control_plane_whose_disk_refuses_says_so_and_goes_on_by_itself(
    installation: Installation, refusal: Refusal, refusals: Sequence[tuple[str, int]]
) -> None:
    head = installation.commit(repository() | {MOTD: component("motd", "/etc/motd", "first")})
    installation.up(environment=refusal.environment)
    installation.examined(head)
    client = Client(f"file:{installation.state}/store/public/shop/web", installation.state / "trust/shop.root.json", fetcher=FileFetcher())
    for place, code in refusals:
        begun = installation.log.stat().st_size
        with refusal.on(code, installation.state / place):
            head = installation.commit({MOTD: component("motd", "/etc/motd", f"{place} {code}")})
            said = os.strerror(code).encode()
            until(os.strerror(code), lambda begun=begun, said=said: said in installation.log.read_bytes()[begun:], log=installation.log)  # type: ignore[misc]
            client.poll()
        installation.examined(head)
        client.poll()
    assert not client.broken
    assert checks.tracebacks([installation.log]) == []
    installation.down()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path / "rig") as made:
        yield made


def release(word: str) -> State:
    return State(files=[File(path=path, content=word) for path in ("/etc/both", "/etc/more", f"/etc/{word}-only/deep/file")])


@pytest.mark.parametrize(("part", "code"), OF_AGENTS)
def test_an_agent_whose_disk_refuses_leaves_the_host_as_it_is_and_applies_later(rig: Rig, refusal: Refusal, part: str, code: int) -> None:
    rig.fleet().publish(release("old"), ["web-01"])
    assert rig.poll() == 0, rig.log
    old = rig.tree()
    rig.fleet().publish(release("new"), ["web-01"])
    with refusal.on(code, rig.directory / part):
        done = _once(rig, refusal)
        assert done.returncode not in (0, -9)
        assert os.strerror(code) in done.stderr
        assert "Traceback" not in done.stderr
        assert rig.tree() == old
    done = _once(rig, refusal)
    assert done.returncode == 0, done.stderr
    assert rig.text("/etc/both") == rig.text("/etc/more") == "new"
    assert not [path for path in rig.tree() if ".ordain-" in path]


def _once(rig: Rig, refusal: Refusal) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(rig.command("--once"), env=refusal.environment, capture_output=True, text=True, check=False, timeout=60)
