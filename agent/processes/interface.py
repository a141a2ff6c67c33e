"""What whoever runs processes offers: the agent's own supervisor here, transient units where there is systemd.

The caller decides about order (`after`) and about when; whoever runs processes decides nothing but how what was started is
kept running. So `want` changes nothing that runs, and healing concerns only what `start` began.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from agent.protocol.state import Process

Standing = Literal["stopped", "running", "waiting", "ended", "looping"]
"""How a process stands.

- `stopped`: not running and not about to: never started, stopped by `stop`, or started before this boot. Start it.
- `running`: its main process is there. Restart it if its digest isn't the wanted one.
- `waiting`: it ended, or could not be executed, and is started again after its back-off.
- `ended`: it ended, and its restart policy leaves it so.
- `looping`: it ended too often within too short; it is left alone until `restart`, or the next boot.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A process as it should run: its texts filled in, and a digest of all that makes a restart necessary.

    The digest is the caller's (of the spec and of what `restart_on` names): it is kept with what was started, and never read.
    """

    process: Process
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One process as it is now."""

    standing: Standing
    digest: str | None = None
    """That of what was started last in this boot; None if nothing was."""
    pid: int | None = None
    since: str = ""
    """When it was started last, as the wire formats write times; empty if it never was."""
    restarts: int = 0
    """How often it was started again by itself since the last `start` or `restart`."""
    cpu_seconds: float | None = None
    """Of its whole tree, of processes that are gone too where a cgroup counts them; None if it doesn't run."""
    rss_bytes: int | None = None
    """Memory of its whole tree; None if it doesn't run."""
    why: str = ""
    """How it ended last, or why it could not be started: for a person."""
    notes: tuple[str, ...] = ()
    """What of its spec can't be kept here, such as a limit without its cgroup: sentences for a person."""


class Processes(Protocol):
    """Whoever runs processes. Names are unique on a host. One thread calls; `look` and `tail` may be called by any."""

    def require(self, process: Process) -> tuple[str, ...]:
        """Return warnings about what can't be kept here; changes nothing.

        Raises:
            RefusedError: it can't be run here, whenever it is tried: an unknown user, say.
        """

    def want(self, processes: Mapping[str, Wanted]) -> None:
        """Say which processes there should be, by name; call it at start and whenever that changes. Changes nothing that runs.

        One that is no longer wanted, or differs, goes on as it was until `stop` or `restart`; ended, it is not started again.
        """

    def start(self, name: str) -> None:
        """Start a wanted process; one that runs already is left alone. Returns when its program was executed.

        Raises:
            RefusedError: it can't be run here. It stays as it was.
            RetryError: it could not be executed (no such program, say), or not be recorded. It is tried again after its back-off.
        """

    def stop(self, name: str) -> None:
        """End a process and all it started; returns when none of them is left. One that doesn't run is no error.

        Raises:
            RetryError: something of it can't be ended.
        """

    def restart(self, name: str) -> None:
        """Stop and start a process, and forget how often it failed. Raises as those do."""

    def look(self) -> dict[str, Seen]:
        """Return how each process stands that is wanted or still there, by name."""

    def tail(self, name: str) -> str:
        """Return the end of its output, at most 4 KiB, for messages; empty if there is none."""

    def close(self, *, leave_running: bool = True) -> None:
        """End the watching; processes go on, to be found again by the next agent, unless they are to be stopped too."""
