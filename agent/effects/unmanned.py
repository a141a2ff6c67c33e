"""Whoever runs processes where nobody does: there are none, and none may be asked for."""

from collections.abc import Mapping

from agent.processes.interface import Seen, Wanted
from agent.protocol.errors import RefusedError
from agent.protocol.state import Process


class Unmanned:
    """Has the methods of `agent.processes.interface.Processes`."""

    def require(self, process: Process) -> tuple[str, ...]:
        """Raise `RefusedError`."""
        message = f"process/{process.name}: this agent runs no processes"
        raise RefusedError(message)

    def want(self, processes: Mapping[str, Wanted]) -> None:
        """Do nothing."""

    def start(self, name: str) -> None:
        """Do nothing."""

    def stop(self, name: str) -> None:
        """Do nothing."""

    def restart(self, name: str) -> None:
        """Do nothing."""

    def look(self) -> dict[str, Seen]:
        """Return nothing."""
        return {}

    def tail(self, name: str) -> str:
        """Return nothing."""
        del name
        return ""

    def close(self, *, leave_running: bool = True) -> None:
        """Do nothing."""
