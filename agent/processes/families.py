"""All that belongs to each process of one agent, found and ended by name."""

import time
from collections.abc import Mapping
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
        self._markers = Markers()

    def marker(self, name: str) -> str:
        """Return the value of `ORDAIN_PROCESS` for a process."""
        return f"{self._key}/{name}"

    def find_all(self, records: Mapping[str, Record | None]) -> dict[str, list[Alive]]:
        """Return all that belongs to each of these processes now; without a record, its marker is all there is to go by."""
        roots = {name: self._root(name, record) for name, record in records.items()}
        processes = kin.table()
        found = kin.kin(roots, processes, self._markers.read(processes))
        for name, root in roots.items():
            self._markers.remember(root.marker, found[name])
        return found

    def find(self, name: str, record: Record | None) -> list[Alive]:
        """Return all that belongs to one process now."""
        return self.find_all({name: record})[name]

    def _root(self, name: str, record: Record | None) -> Root:
        if record is None:
            return Root(marker=self.marker(name))
        members = cgroups.members(Path(record.group)) if record.group else frozenset()
        return Root(marker=self.marker(name), pid=record.pid, began=record.began, members=members)

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
