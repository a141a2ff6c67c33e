"""A whole installation of real processes: a git repository, `ordain up`, and agents under roots of their own."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from reconciler.cli import cli

PATIENCE = 60.0
"""Seconds to wait for anything: far more than it takes, so that a slow machine is no failure."""
BIN = Path(sys.executable).parent
PORTS = range(20_000, 30_000)
"""Below those that the system gives to anyone: nobody must take ours between an end and the next start."""


def until(what: str, holds: Callable[[], bool], *, patience: float = PATIENCE, log: Path | None = None) -> float:
    """Wait until something holds; return the seconds that took, fail with the end of a log if it doesn't."""
    start = time.monotonic()
    while time.monotonic() - start < patience:
        if holds():
            return time.monotonic() - start
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-4000:] if log and log.exists() else ""
    message = f"{what}: not within {patience} s\n{tail}"
    raise AssertionError(message)


def free_port(chance: random.Random | None = None) -> int:
    """Return a port of loopback that nobody has."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = (chance or random.Random()).choice(PORTS)
            probe.bind(("127.0.0.1", port))
            return port


class Installation:
    """Everything under one directory; `stop` ends what still runs."""

    def __init__(self, directory: Path) -> None:
        self.repo, self.state = directory / "fleets", directory / "state"
        self.hosts = directory / "hosts"
        self.log = directory / "up.log"
        self.listen = "127.0.0.1:0"
        self.settings: Path | None = None
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.agents: list[subprocess.Popen[bytes]] = []
        self.repo.mkdir(parents=True)
        self.git("init", "--quiet")

    def git(self, *arguments: str) -> str:
        """Run git in the fleet repository."""
        done = subprocess.run(["git", "-C", str(self.repo), *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | None], message: str = "Change the fleet") -> str:
        """Write files (None: remove) and commit them; return the commit's sha."""
        for path, text in files.items():
            place = self.repo / path
            if text is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def up(self, *, fault: str = "", environment: Mapping[str, str] | None = None) -> None:
        """Start `ordain up` and wait until it listens; with a fault it may die at any time after."""
        self.log.touch()
        begun = self.log.stat().st_size
        environment = {**(environment or os.environ), "ORDAIN_FAULT": fault}
        listening: list[str | Path] = ["--listen", self.listen, "--local", "127.0.0.1:0"]
        listening += ["--settings", self.settings] if self.settings else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "ordain", "up", "--repo", self.repo, "--state", self.state, *listening, "--log-format", "json"],
                stderr=log,
                env=environment,
            )
        marker = b"local at "
        until("listening", lambda: marker in self.log.read_bytes()[begun:] or self.process_ended, log=self.log)
        said = self.log.read_bytes()[begun:]
        if marker in said:
            self.url = said.split(marker, 1)[1].split(b"\n", 1)[0].decode().strip()

    @property
    def process_ended(self) -> bool:
        """Whether `ordain up` is dead."""
        return self.process is not None and self.process.poll() is not None

    def killed(self) -> None:
        """Wait until a fault has killed `ordain up`."""
        until("the fault", lambda: self.process_ended, log=self.log)
        assert self.process is not None
        assert self.process.returncode == -signal.SIGKILL

    def down(self) -> None:
        """Stop `ordain up` as an operator would, and see that it ends well."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(PATIENCE) == 0, self.log.read_text()[-4000:]

    def kill(self) -> None:
        """Stop `ordain up` as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def status(self) -> dict[str, Any]:
        """Return what `ordain status` says.

        It is asked in this process: whoever waits asks many times, and processes for that would take the processor from what is waited for.
        """
        done = CliRunner().invoke(cli, ["status", "--state", str(self.state), "--format", "json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def fleet(self, name: str) -> dict[str, Any]:
        """Return what status says of one fleet, `tenant/name`."""
        return next(one for one in self.status()["fleets"] if f"{one['tenant']}/{one['name']}" == name)

    def answers(self, path: str) -> bool:
        """Return whether `ordain up` answers a path with 200."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def examined(self, head: str, *, patience: float = PATIENCE) -> float:
        """Wait until this head is examined and all that isn't frozen is published; return the seconds that took."""

        def holds() -> bool:
            found = self.status()
            return bool(found["ready"]) and found["head"] == head

        return until(f"{head[:12]} examined and published", holds, patience=patience, log=self.log)

    def root(self, agent: str) -> Path:
        """Return the directory that stands for an agent's `/`."""
        return self.hosts / agent / "root"

    def agent_command(self, agent: str, *more: str, tenant: str = "shop", server: str = "") -> list[str]:
        """Return the command line of one agent."""
        root = self.root(agent)
        root.mkdir(parents=True, exist_ok=True)
        trust = self.state / "trust" / f"{tenant}.root.json"
        named = ["--tenant", tenant, "--name", agent, "--root", str(root), "--state", str(self.hosts / agent / "state")]
        return [str(BIN / "ordain-agent"), "run", "--server", server or self.url, "--root-metadata", str(trust), *named, *more]

    def once(
        self, agent: str, *, tenant: str = "shop", fault: str = "", server: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one agent once, as cron would."""
        command = self.agent_command(agent, "--once", tenant=tenant, server=server)
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**(environment or os.environ), "ORDAIN_FAULT": fault},
        )

    def start_agent(self, agent: str, *, tenant: str = "shop", server: str = "") -> None:
        """Start an agent that polls ten times a second."""
        self.hosts.mkdir(exist_ok=True)
        with (self.hosts / f"{agent}.log").open("ab") as log:
            self.agents.append(subprocess.Popen(self.agent_command(agent, "--poll", "0.1", tenant=tenant, server=server), stderr=log))

    def agent_status(self, agent: str) -> dict[str, Any]:
        """Return what `ordain-agent status` says of an agent."""
        command = [str(BIN / "ordain-agent"), "status", "--state", str(self.hosts / agent / "state"), "--format", "json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def content(self, agent: str, path: str) -> str | None:
        """Return a file's text on a host, None where there is no such file."""
        place = self.root(agent) / path.lstrip("/")
        return place.read_text() if place.is_file() else None

    def tree(self, agent: str) -> str:
        """Return a digest of all that is on a host: names, modes and contents."""
        found = hashlib.sha256()
        for place in sorted(self.root(agent).rglob("*")):
            status = place.lstat()
            found.update(f"{place} {status.st_mode:o} {status.st_mtime_ns if place.is_file() else 0}".encode())
            found.update(place.read_bytes() if place.is_file() and not place.is_symlink() else b"")
        return found.hexdigest()

    def stop(self) -> None:
        """End everything."""
        for process in (*self.agents, self.process):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(PATIENCE)
