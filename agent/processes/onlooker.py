"""How processes stand, for commands that only look: the agent that runs meanwhile is not disturbed, and nothing is written."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.host import Host
from agent.processes import kin
from agent.processes.families import Families
from agent.processes.interface import Seen, Wanted
from agent.processes.output import Output, Rotation
from agent.processes.records import Record, Records, boot_id
from agent.processes.resolve import resolve
from agent.processes.standing import seen_of
from agent.processes.usage import measure
from agent.protocol.errors import RetryError
from agent.protocol.identity import require_label
from agent.protocol.state import Process


class Onlooker:
    """Has the methods of `agent.processes.interface.Processes`; those that change something raise `RetryError`."""

    def __init__(self, directory: Path, *, host: Host) -> None:
        self._host = host
        self._records = Records(directory / "records")
        self._output = Output(directory / "output", Rotation())
        self._families = Families(directory)

    def require(self, process: Process) -> tuple[str, ...]:
        """Return warnings about what can't be kept here; raise `RefusedError` if it can't be run here at all."""
        require_label(process.name, "process")
        return resolve(process, host=self._host, marker=self._families.marker(process.name), controllers=()).notes

    def want(self, processes: Mapping[str, Wanted]) -> None:
        """Do nothing: who looks on wants nothing."""

    def start(self, name: str) -> None:
        """Raise `RetryError`."""
        raise _only_looking(name)

    def stop(self, name: str) -> None:
        """Raise `RetryError`."""
        raise _only_looking(name)

    def restart(self, name: str) -> None:
        """Raise `RetryError`."""
        raise _only_looking(name)

    def look(self) -> dict[str, Seen]:
        """Return how each process stands that is recorded in this boot, by name."""
        boot = boot_id()
        records = {name: record for name, record in self._records.read() if record is not None and record.boot == boot}
        running = {name: record for name, record in records.items() if _runs(record)}
        records = {name: record if name in running else _not_running(record) for name, record in records.items()}
        found = self._families.find_all(running) if running else {}
        used = {name: measure(alive, records[name].group) for name, alive in found.items()}
        return {name: seen_of(record, used.get(name)) for name, record in records.items()}

    def tail(self, name: str) -> str:
        """Return the end of its output, at most 4 KiB."""
        return self._output.tail(require_label(name, "process"))

    def close(self, *, leave_running: bool = True) -> None:
        """Do nothing: nothing is watched."""


def _runs(record: Record) -> bool:
    alive = kin.read(record.pid) if record.standing == "running" and record.pid is not None else None
    return alive is not None and alive.began == record.began and not alive.is_zombie


def _not_running(record: Record) -> Record:
    """Return the record of a process that doesn't run, whatever was last written of it."""
    return msgspec.structs.replace(record, standing="stopped") if record.standing == "running" else record


def _only_looking(name: str) -> RetryError:
    return RetryError(f"process/{name}: the agent that runs here does that, not a command that looks on")
