"""Starting one process: everything but when.

A record with the pid is on disk before the program begins, and a child whose record could not be written never begins. So an
agent killed anywhere here leaves either nothing, or a process that the next one knows.
"""

import contextlib
import os

import msgspec

from agent.host import Host
from agent.logs import timestamp
from agent.processes.cgroups import Cgroups
from agent.processes.families import Families
from agent.processes.interface import Wanted
from agent.processes.output import Output
from agent.processes.policy import History
from agent.processes.records import Record, Records, boot_id
from agent.processes.resolve import Launch, resolve
from agent.processes.spawn import Child, Waiting, spawn, take
from agent.processes.standing import milliseconds
from agent.protocol.errors import RetryError, disk_trouble
from agent.protocol.faults import reached
from agent.protocol.state import Process

PLACES = ("processes:spawned", "processes:recorded", "processes:begun")
"""Where a crash test may kill the agent here."""


class Starter:
    """Starts processes of one agent."""

    def __init__(self, *, host: Host, families: Families, records: Records, output: Output, cgroups: Cgroups | None) -> None:
        self._host = host
        self._families = families
        self._records = records
        self._output = output
        self._cgroups = cgroups

    def resolve(self, process: Process) -> Launch:
        """Return how to start a process; raises `RefusedError` if it can't be here."""
        controllers = self._cgroups.controllers if self._cgroups else ()
        return resolve(process, host=self._host, marker=self._families.marker(process.name), controllers=controllers)

    def record(self, wanted: Wanted, launch: Launch, *, history: History, restarts: int, why: str) -> Record:
        """Return the record of a process that is about to be started."""
        return Record(
            boot=boot_id(),
            digest=wanted.digest,
            standing="running",
            process=msgspec.structs.replace(wanted.process, command=[], environment={}),
            since=timestamp(),
            restarts=restarts,
            starts=[milliseconds(start) for start in history.starts],
            wait=milliseconds(history.wait),
            why=why,
            notes=list(launch.notes),
        )

    def begin(self, process: Process, launch: Launch, record: Record) -> tuple[Record, Child]:
        """Start a process and return its completed record, which is on disk, and the process itself.

        Raises:
            RetryError: it could not be executed or recorded, or something of an earlier run can't be ended. Nothing of it runs.
        """
        try:
            self._families.end(process.name, None)
            if self._cgroups is not None:
                group = self._cgroups.make(process.name, process.limits)
                record = msgspec.structs.replace(record, group=str(group))
            return self._go(process.name, self._spawn(process.name, launch, record), record)
        except OSError as error:
            raise disk_trouble(error) from error

    def _spawn(self, name: str, launch: Launch, record: Record) -> Waiting:
        output = self._output.open(name)
        try:
            waiting = spawn(launch, output=output, group=record.group)
        finally:
            os.close(output)
        reached("processes:spawned")
        return waiting

    def _go(self, name: str, waiting: Waiting, record: Record) -> tuple[Record, Child]:
        record = msgspec.structs.replace(record, pid=waiting.pid, began=waiting.began)
        try:
            self._records.put(name, record)
        except OSError:
            waiting.drop()
            raise
        reached("processes:recorded")
        notes = waiting.go()
        reached("processes:begun")
        child = take(waiting.pid, waiting.began)
        if child is None:
            message = "it was gone before it could be watched; does another part of this program reap children?"
            raise RetryError(message)
        if notes:
            record = msgspec.structs.replace(record, notes=[*record.notes, *notes])
            with contextlib.suppress(OSError):  # it runs already, and notes are written with the next change as well
                self._records.put(name, record)
        return record, child
