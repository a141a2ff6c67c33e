"""A supervisor of real processes below a directory of the test, and words to wait for what they do."""

import io
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agent.host import Host
from agent.logs import Log
from agent.processes import cgroups, kin
from agent.processes.cgroups import Cgroups
from agent.processes.families import Families
from agent.processes.interface import Seen, Wanted
from agent.processes.kin import Alive
from agent.processes.output import Rotation
from agent.processes.records import Record, Records
from agent.processes.supervisor import Supervisor
from agent.protocol.state import Process

DEADLINE = 60.0
"""Seconds to wait for what must come: the machine may be ten times as slow as it is alone."""


def own_group() -> Path | None:
    """Return a new control group with all controllers there are, None if none can be made here."""
    above = cgroups.mounted()
    group = None if above is None else above / f"ordain-test-{uuid.uuid4().hex[:12]}"
    try:
        if group is not None:
            group.mkdir()
            cgroups.enable(group)
    except OSError:
        return None
    return group


def own_mounts() -> bool:
    """Return whether a process can have mounts of its own here."""
    unshare = shutil.which("unshare") or "/nonexistent"
    return any(subprocess.run([unshare, option, "true"], check=False, capture_output=True).returncode == 0 for option in ("-m", "-Um"))


def until(happened: Callable[[], Any], what: str = "") -> Any:
    """Return what `happened` returns as soon as that is true."""
    deadline = time.monotonic() + DEADLINE
    while not (found := happened()):
        assert time.monotonic() < deadline, f"waited a minute in vain {what}"
        time.sleep(0.01)
    return found


def shell(name: str, script: str, **spec: Any) -> Process:
    """Return a process that runs a script of the shell."""
    return Process(name=name, command=["/bin/sh", "-c", script], **spec)


def python(name: str, script: str, **spec: Any) -> Process:
    """Return a process that runs a script of Python."""
    return Process(name=name, command=[sys.executable, "-I", "-S", "-c", script], **spec)


@dataclass(slots=True, kw_only=True)
class Team:
    """One agent's processes: a supervisor at a time, on the same directory."""

    directory: Path
    machine: Path | None = None
    """The host's root, if it is not a directory of the test."""
    groups: Cgroups | None = None
    rotation: Rotation | None = None
    supervisor: Supervisor = field(init=False)
    said: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.begin()

    @property
    def root(self) -> Path:
        """The directory that is the host's root."""
        return self.directory / "root"

    def begin(self) -> None:
        """Have an agent begin, which finds what an earlier one left."""
        self.root.mkdir(exist_ok=True)
        place = self.directory / "processes"
        self.supervisor = Supervisor(
            place, host=Host(self.machine or self.root), log=Log(stream=self.said), cgroups=self.groups, rotation=self.rotation
        )

    def begin_again(self) -> None:
        """Have this agent end, and the next one begin."""
        self.supervisor.close()
        self.begin()

    def want(self, *processes: Process, digest: str = "one") -> None:
        """Want just these processes."""
        self.supervisor.want({process.name: Wanted(process=process, digest=digest) for process in processes})

    def run(self, *processes: Process, digest: str = "one") -> None:
        """Want just these processes, and start them."""
        self.want(*processes, digest=digest)
        for process in processes:
            self.supervisor.start(process.name)

    def seen(self, name: str = "app") -> Seen:
        """Return how a process stands."""
        return self.supervisor.look()[name]

    def pid(self, name: str = "app") -> int:
        """Return the main process's pid."""
        pid = self.seen(name).pid
        assert pid is not None, self.seen(name)
        return pid

    def alive(self, name: str = "app") -> list[Alive]:
        """Return all living processes of the machine that are marked as this process's."""
        marker = Families(self.directory / "processes").marker(name)
        processes = kin.table()
        marks = kin.Markers().read(processes)
        return [alive for pid, alive in processes.items() if marks.get(pid) == marker and not alive.is_zombie]

    def record(self, name: str = "app") -> Record:
        """Return the record of a process that is on disk."""
        record = dict(Records(self.directory / "processes/records").read())[name]
        assert record is not None
        return record

    def printed(self, name: str = "app") -> str:
        """Return all that a process printed and that was not rotated away."""
        path = self.directory / f"processes/output/{name}.log"
        return path.read_text() if path.exists() else ""

    def wait_for(self, text: str, name: str = "app") -> None:
        """Wait until a process has printed this."""
        until(lambda: text in self.printed(name), f"for {text!r} from {name}, which said {self.printed(name)!r}")


@contextmanager
def team(directory: Path, **options: Any) -> Iterator[Team]:
    """Yield a team, of which nothing is left afterwards, whatever the test did to it."""
    made = Team(directory=directory, **options)
    try:
        yield made
    finally:
        made.supervisor.close(leave_running=False)
        for name in (path.stem for path in (directory / "processes/records").glob("*.json")):
            kin.end(partial(made.alive, name))
