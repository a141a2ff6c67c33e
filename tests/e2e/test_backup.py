"""An installation that loses its registry, or its whole disk, under agents that run and have seen more than the backup has."""

import functools
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance_cases import component, fleet, repository
from tests.e2e.installation import BIN, PATIENCE, Installation, until

pytestmark = [pytest.mark.slow, pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
MOTD = "tenants/shop/components/motd.yaml"
AT_ONCE = "  rollout: {waves: [{name: all, limit: 100%, soak: 0s}]}\n"
FILES = repository() | {"tenants/shop/fleets/web.yaml": fleet("web", "motd", role="web") + AT_ONCE}
FIRST, LATER = "web-01", "web-02"


class Enrolled(Installation):
    """An installation on one port, whose agents enrol."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self) -> None:
        """Start `ordain up` where agents expect it."""
        self.log.touch()
        begun = self.log.stat().st_size
        places: list[str | Path] = [
            "--repo",
            self.repo,
            "--state",
            self.state,
            "--listen",
            f"127.0.0.1:{self.port}",
            "--local",
            "127.0.0.1:0",
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([str(BIN / "ordain"), "up", *places, "--log-format", "json"], stderr=log)
        until("it listens", lambda: b"agents at https://" in self.log.read_bytes()[begun:] or self.process_ended, log=self.log)
        assert not self.process_ended, self.log.read_text()[-4000:]

    def ordain(self, *words: str | Path) -> str:
        """Type a command on the machine of the installation; return what it prints."""
        done = subprocess.run([BIN / "ordain", *words, "--state", self.state], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def enrol(self, name: str) -> None:
        """Enrol an agent and let it run."""
        made = self.ordain("token", "create", "--tenant", "shop", "--agent", name, "--ttl", "1h", "--format", "json")
        state, root = self.hosts / name / "state", self.root(name)
        root.mkdir(parents=True)
        asked = ["--server", f"https://127.0.0.1:{self.port}", "--token", json.loads(made)["token"], "--state", state]
        subprocess.run([BIN / "ordain-agent", "enroll", *asked], check=True, capture_output=True, timeout=PATIENCE)
        with (self.hosts / f"{name}.log").open("ab") as log:
            command: list[str | Path] = [BIN / "ordain-agent", "run", "--state", state, "--root", root]
            self.agents.append(subprocess.Popen(command, stderr=log))

    def listed(self) -> list[dict[str, Any]]:
        """Return the agents that the registry knows."""
        found: list[dict[str, Any]] = json.loads(self.ordain("agents", "list", "--tenant", "shop", "--format", "json"))["agents"]
        return found

    def inventory(self) -> list[tuple[object, ...]]:
        """Return of each agent what git and agents alone can say."""
        return [tuple(one[name] for name in ("tenant", "agent", "state", "fleets", "labels")) for one in self.listed()]

    def reported(self, *names: str) -> bool:
        """Return whether these agents have been heard of since the registry was made, and know what they run."""
        heard = {one["agent"]: one for one in self.listed() if one["lastSeen"]}
        return heard.keys() >= set(names)

    def reaches(self, text: str, *names: str) -> None:
        """Wait until a file has this text on these hosts."""
        for name in names:
            until(f"{name} has {text}", functools.partial(self._has, name, text), log=self.hosts / f"{name}.log")

    def _has(self, name: str, text: str) -> bool:
        return self.content(name, "/etc/motd") == text


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Enrolled]:
    made = Enrolled(tmp_path)
    yield made
    made.stop()


def motd(text: str) -> dict[str, str | None]:
    return {MOTD: component("motd", "/etc/motd", text)}


def test_a_registry_and_then_a_whole_disk_are_lost_and_agents_go_on(installation: Enrolled, tmp_path: Path) -> None:
    installation.commit(FILES | motd("one"))
    installation.start()
    until("it is published", lambda: installation.status()["ready"], log=installation.log)
    installation.enrol(FIRST)
    installation.reaches("one", FIRST)
    until("it is heard of", lambda: installation.reported(FIRST), log=installation.log)
    before = installation.inventory()

    installation.down()
    for file in installation.state.glob("registry.db*"):
        file.unlink()
    installation.start()
    until("it is heard of again", lambda: installation.reported(FIRST), log=installation.log)
    assert installation.inventory() == before, "agents and git are enough to make the registry again"

    backup = tmp_path / "backup.tar.zst"
    assert "registry: in it; store: whole" in installation.ordain("backup", backup)
    installation.enrol(LATER)
    installation.commit(motd("two"))
    installation.reaches("two", FIRST, LATER)
    kept = installation.status()["fleets"]
    installation.kill()
    assert "versions go on far above" in installation.ordain("restore", backup, "--aside")
    installation.start()
    installation.commit(motd("three"))
    installation.reaches("three", FIRST, LATER)
    until("both are heard of", lambda: installation.reported(FIRST, LATER), log=installation.log)
    assert [one["agent"] for one in installation.listed()] == [FIRST, LATER], "who enrolled after the backup is taken in"
    serial = {one["name"]: one["serial"] for one in kept}
    assert all(one["serial"] > serial[one["name"]] + 1_000_000 for one in installation.status()["fleets"])
    entries = json.loads(installation.ordain("audit", "operations", "--tenant", "shop", "--format", "json"))["entries"]
    assert "registry.restored" in [one["action"] for one in entries]
