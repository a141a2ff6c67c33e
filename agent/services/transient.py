"""Processes as transient units of systemd, with the same meaning as under the agent's own supervisor.

They lie in a slice of their own, so nothing that happens to the agent's unit touches them, and an agent that comes back finds them
by looking: what they were started for stands in their units. Their environment is in a file that only root reads, for what
stands in a unit may be read by every user. What they print is in the journal.

Units are written to /run, which a boot empties, and not made by `systemd-run`: of those systemd 252 writes `;` and `$` down wrongly,
and starts something else after its next daemon-reload.
"""

from collections.abc import Mapping
from pathlib import Path

from agent.host import Host
from agent.processes.interface import Seen, Wanted
from agent.processes.resolve import resolve
from agent.protocol import durable
from agent.protocol.errors import RefusedError, RetryError, disk_trouble
from agent.protocol.identity import LABEL
from agent.protocol.state import Process
from agent.services import seen as units
from agent.services.properties import environment_file, seen_of, unit_text
from agent.services.systemd import Systemd

PREFIX, SUFFIX = "ordain-process-", ".service"
ENVIRONMENT = ".environment"
CONTROLLERS = ("cpu", "memory", "pids")
"""What systemd limits by; where the kernel lacks one, systemd runs the process without that limit."""
NOT_EXECUTED = range(200, 246)
"""Exit statuses by which systemd says that it could not execute a program, systemd.exec(5)."""
TAIL_LINES = 40
TAIL_LIMIT = 4096
"""Bytes of output that a message may hold."""


class TransientUnits:
    """Whoever runs processes on a host with systemd: see `agent.processes.interface.Processes`.

    `directory` holds their environments, each in a file of its own that only root reads.
    """

    def __init__(self, directory: Path, *, host: Host, systemd: Systemd) -> None:
        self._directory = directory
        self._host = host
        self._systemd = systemd
        self._wanted: Mapping[str, Wanted] = {}

    def require(self, process: Process) -> tuple[str, ...]:
        """Return warnings about what can't be kept here; changes nothing. Raises `RefusedError` if it can't be run here."""
        launch = resolve(process, host=self._host, marker="", controllers=CONTROLLERS)
        unit_text(process, launch, digest="0", environment=self._environment(process.name), version=0)
        environment_file(launch)
        return launch.notes

    def want(self, processes: Mapping[str, Wanted]) -> None:
        """Say which processes there should be, by name. Changes nothing that runs; environments of what is gone since a boot go too."""
        self._wanted = dict(processes)
        for place in self._directory.glob(f"*{ENVIRONMENT}"):
            name = place.name.removesuffix(ENVIRONMENT)
            if name not in self._wanted and not self._place(name).exists():
                durable.remove(place)

    def start(self, name: str) -> None:
        """Start a wanted process; one that runs already is left alone. Returns when its program was executed.

        Raises:
            RefusedError: it can't be run here. It stays as it was.
            RetryError: it could not be executed; the message holds its last lines.
        """
        wanted = self._asked(name)
        if seen_of(self._unit(name)).standing not in ("running", "waiting"):
            self._start(wanted)

    def restart(self, name: str) -> None:
        """Stop and start a process, and forget how often it failed. Raises as those do; one that can't be run here goes on as it was."""
        wanted = self._asked(name)
        self.require(wanted.process)
        self._start(wanted)

    def stop(self, name: str) -> None:
        """End a process and all it started; returns when none of them is left. One that doesn't run is no error.

        Raises:
            RetryError: something of it can't be ended.
        """
        self._clear(name)
        for place in (self._place(name), self._environment(name)):
            durable.remove(place)

    def look(self) -> dict[str, Seen]:
        """Return how each process stands that is wanted or still there, by name."""
        there = units.read(self._systemd.show([f"{PREFIX}*{SUFFIX}"], units.PROPERTIES))
        found = dict.fromkeys(self._wanted, Seen(standing="stopped"))
        found |= {one.unit.removeprefix(PREFIX).removesuffix(SUFFIX): seen_of(one) for one in there}
        return dict(sorted(found.items()))

    def tail(self, name: str) -> str:
        """Return the end of its output, at most 4 KiB, for messages; empty if there is none."""
        return self._systemd.output(_unit_name(name), TAIL_LINES).encode()[-TAIL_LIMIT:].decode(errors="ignore")

    def close(self, *, leave_running: bool = True) -> None:
        """End nothing, unless processes are to be stopped too: it is systemd that watches them."""
        if not leave_running:
            for name in self.look():
                self.stop(name)

    def _asked(self, name: str) -> Wanted:
        wanted = self._wanted.get(name)
        if wanted is None:
            message = f"process {name} is not wanted here"
            raise RefusedError(message)
        return wanted

    def _start(self, wanted: Wanted) -> None:
        name, place = wanted.process.name, self._environment(wanted.process.name)
        launch = resolve(wanted.process, host=self._host, marker="", controllers=CONTROLLERS)
        text = unit_text(wanted.process, launch, digest=wanted.digest, environment=place, version=self._systemd.version())
        environment = environment_file(launch)
        self._clear(name)
        try:
            durable.make_directory(place.parent, mode=0o700)
            durable.replace(place, environment.encode(), mode=0o600)
            durable.replace(self._place(name), text.encode(), lasting=False)
        except OSError as error:
            raise disk_trouble(error) from error
        if self._unit(name).needs_daemon_reload:  # it was in memory still
            self._systemd.daemon_reload()
        try:
            self._systemd.act("start", _unit_name(name))
        except RetryError:
            if self._unit(name).status in NOT_EXECUTED:
                raise  # else it was executed and has ended already, sooner than systemd saw it begin: its policy says what is next

    def _clear(self, name: str) -> None:
        """Have systemd stop a unit, if there is one, and forget it: it keeps those that failed."""
        if self._unit(name).load != "not-found":
            self._systemd.act("stop", _unit_name(name))
            if self._unit(name).active == "failed":
                self._systemd.act("reset-failed", _unit_name(name))

    def _unit(self, name: str) -> units.Seen:
        return units.look(self._systemd, [_unit_name(name)])[_unit_name(name)]

    def _place(self, name: str) -> Path:
        return self._systemd.until_boot / _unit_name(name)

    def _environment(self, name: str) -> Path:
        return self._directory / f"{name}{ENVIRONMENT}"


def _unit_name(name: str) -> str:
    """Return the name of a process's unit; no process can be called so that it is a unit of something else."""
    if not LABEL.fullmatch(name):
        message = f"process {name!r}: its name must have lower-case letters, digits and inner hyphens"
        raise RefusedError(message)
    return f"{PREFIX}{name}{SUFFIX}"
