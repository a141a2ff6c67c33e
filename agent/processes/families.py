"""All that belongs to each process of one agent, found and ended by name."""

import time
from pathlib import Path

from agent.processes import cgroups, kin
from agent.processes.kin import Alive, Markers, Root
from agent.processes.records import Record
from agent.protocol.codec import sha256

_TICK = 0.05


class Families:
    """The processes of the agent with this directory; others on the same machine have other markers."""

    def __init__(self, directory: Path) -> None:
        self._key = sha256(str(directory.resolve()).encode())[:16]
        self.markers = Markers()

    def marker(self, name: str) -> str:
        """Return the value of `ORDAIN_PROCESS` for a process."""
        return f"{self._key}/{name}"

    def root(self, name: str, record: Record | None) -> Root:
        """Return where to begin to look for what belongs to a process; without a record, its marker is all there is."""
        if record is None:
            return Root(marker=self.marker(name))
        members = cgroups.members(Path(record.group)) if record.group else frozenset()
        return Root(marker=self.marker(name), pid=record.pid, began=record.began, members=members)

    def find(self, name: str, record: Record | None) -> list[Alive]:
        """Return all that belongs to a process now."""
        processes = kin.table()
        return kin.kin({name: self.root(name, record)}, processes, self.markers.read(processes))[name]

    def ask(self, name: str, record: Record, number: int, deadline: float) -> None:
        """Send all that belongs to a process a signal, once each, and wait until they are gone or `deadline` has come."""
        asked: set[tuple[int, int]] = set()
        while left := self.find(name, record):
            for alive in left:
                if (alive.pid, alive.began) not in asked:
                    asked.add((alive.pid, alive.began))
                    kin.ask(alive, number)
            if time.monotonic() >= deadline:
                return
            time.sleep(_TICK)

    def end(self, name: str, record: Record | None) -> None:
        """Kill all that belongs to a process; raises `RetryError` if something can't be."""
        if record is not None and record.group:
            cgroups.kill(Path(record.group))
        kin.end(lambda: self.find(name, record))
        if record is not None and record.group:
            cgroups.remove(Path(record.group))
