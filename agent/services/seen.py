"""What systemd says of units: asked for all of them in one call, read strictly.

A field that is missing or no number where one is due is an error, never a guess: a step that rests on one could stop what runs.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.services.systemd import Systemd

PROPERTIES = (
    *("Id", "LoadState", "LoadError", "ActiveState", "SubState", "Result", "UnitFileState", "NeedDaemonReload", "CanReload"),
    *("Type", "RemainAfterExit", "MainPID", "NRestarts", "InvocationID", "FragmentPath", "ActiveEnterTimestampMonotonic"),
    *("StateChangeTimestampMonotonic", "CPUUsageNSec", "MemoryCurrent", "ExecMainStatus", "ExecMainCode"),
)
"""What is asked of each unit; those that a kind of unit lacks (a timer has no MainPID) are left out by systemctl."""
UNIT = re.compile(r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.(service|socket|timer|path|mount|target|slice|automount|swap)")
UNIT_LENGTH = 255
RUNNING = frozenset({"active", "reloading", "activating", "refreshing"})
"""States of a unit that is up or on its way there; one that systemd starts again by itself is activating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One unit as systemd has it now."""

    unit: str
    load: str
    """"loaded", "not-found", "masked", "bad-setting", "error"."""
    active: str
    """"active", "reloading", "inactive", "failed", "activating", "deactivating"."""
    sub: str
    result: str
    """Why it ended, as systemd names it: "success", "exit-code", "signal", "oom-kill", "start-limit-hit", "timeout"."""
    file_state: str
    """"enabled", "disabled", "static", "masked", "generated", …; empty where there is no file."""
    needs_daemon_reload: bool
    can_reload: bool
    kind: str = ""
    """A service's Type, such as "simple" or "oneshot"."""
    stays: bool = False
    """Whether it counts as running after its process ended (RemainAfterExit)."""
    pid: int = 0
    restarts: int = 0
    """Starts by systemd's own hand since somebody started it."""
    since: int = 0
    """When it came to its state: microseconds of the machine's monotonic clock."""
    cpu: int | None = None
    """Nanoseconds of processor time, where they are accounted."""
    memory: int | None = None
    """Bytes."""
    error: str = ""
    """Why it could not be loaded."""

    @property
    def runs(self) -> bool:
        """Whether it is up or coming up."""
        return self.active in RUNNING

    @property
    def masked(self) -> bool:
        """Whether nothing can start it."""
        return self.load == "masked" or self.file_state in ("masked", "masked-runtime")


def look(systemd: Systemd, units: Iterable[str]) -> dict[str, Seen]:
    """Return what systemd says of each unit, in one call; one that it doesn't know is "not-found".

    Raises:
        InputError: a name that is none of a unit.
        RetryError: systemd doesn't answer, or not as it is known to.
    """
    raise NotImplementedError
