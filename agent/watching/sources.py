"""Where news comes from: asked for at each poll by whoever is not enrolled, or where a server can't hold requests."""

from collections.abc import Callable
from typing import Protocol

from agent.disk import Disk
from agent.fetching.fetcher import Http
from agent.following.follow import hinted_fleets
from agent.protocol.errors import RefusedError
from agent.protocol.watching import Leave
from agent.settings import Settings
from agent.watching.answered import Answered


class HeldBackError(RefusedError):
    """The server knows this host and tells it nothing: revoked, quarantined. What runs here is kept."""


class LeaveError(RefusedError):
    """This host is no longer wanted; `leave` says what should become of what it manages."""

    def __init__(self, leave: Leave) -> None:
        super().__init__(leave.reason or "no reason was given")
        self.leave = leave


class Source(Protocol):
    """Whoever tells which fleets there are, what is new of them, and when to look again."""

    def fleets(self) -> list[str]:
        """Return the fleets that the server names for this host, a hint.

        Raises:
            UnknownAgentError: it knows no such agent.
            HeldBackError, LeaveError: it knows this one, and does not want it to go on as before.
            RetryError: no answer, or none that makes sense.
        """
        ...

    def answered(self, fleet: str) -> Answered | None:
        """Return what is known of a fleet's files since `fleets`, None where they are to be fetched."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for news, for this long at most; return whether it is time for a poll already."""
        ...

    def again(self) -> None:
        """Ask again at once, whatever was refused: this host has another certificate now."""
        ...


class Asking:
    """Asks at each poll, and sleeps in between; `sleep` ends early when the agent is to look now."""

    def __init__(self, *, settings: Settings, http: Http, disk: Disk, sleep: Callable[[float], bool]) -> None:
        self._settings, self._http, self._disk, self._sleep = settings, http, disk, sleep

    def fleets(self) -> list[str]:
        """Ask which fleets there are."""
        return hinted_fleets(self._settings, self._http, self._disk)

    def answered(self, fleet: str) -> None:
        """Have everything fetched."""
        del fleet

    def wait(self, seconds: float) -> bool:
        """Sleep."""
        return self._sleep(seconds)

    def again(self) -> None:
        """Ask at each poll, as ever."""
