"""What systemd says of units: asked for all of them in one call, read strictly.

A field that is missing, or no number where one is due, is an error and never a guess: a step that rests on one could stop what runs.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.logs import timestamp
from agent.protocol.errors import InputError, RetryError
from agent.services.systemd import Systemd

PROPERTIES = (
    *("Id", "LoadState", "LoadError", "ActiveState", "SubState", "Result", "UnitFileState", "NeedDaemonReload", "CanReload"),
    *("Type", "RemainAfterExit", "MainPID", "NRestarts", "ExecMainStatus", "ExecMainStartTimestamp", "ActiveEnterTimestamp"),
    *("CPUUsageNSec", "MemoryCurrent", "LogExtraFields", "Restart", "ExecMainCode"),
)
"""What is asked of each unit; those that a kind of unit lacks (a timer has no MainPID) are left out by systemctl."""
UNIT = re.compile(r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]+)?\.(service|socket|timer|path|mount|automount|swap|slice|target)")
"""Whole names: systemctl would take `web` for a service and `a b` for a typing error; a template without an instance can't run."""
UNIT_LENGTH = 255
"""Characters of a unit's name, as systemd bounds them."""
RUNNING = frozenset({"active", "reloading", "activating", "refreshing"})
"""States of a unit that is up or on its way there; one that systemd is about to start again is activating."""
_TIME = "%a %Y-%m-%d %H:%M:%S UTC"
_KILLED = frozenset({"2", "3"})
"""CLD_KILLED and CLD_DUMPED, by which the kernel says that a signal ended a process."""
_NONE = frozenset({"", "[not set]", "[no data]", "18446744073709551615"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One unit as systemd has it now."""

    unit: str
    load: str
    """`loaded`, `not-found`, `masked`, `bad-setting` or `error`."""
    error: str = ""
    """Why it could not be loaded, in systemd's words."""
    active: str
    """`active`, `reloading`, `inactive`, `failed`, `activating` or `deactivating`."""
    sub: str = ""
    result: str = "success"
    """How it ended last: `success`, `exit-code`, `signal`, `oom-kill`, `timeout`, `start-limit-hit`, …"""
    status: int = 0
    """The exit status, or the signal, of its main process."""
    file_state: str = ""
    """`enabled`, `disabled`, `static`, `masked`, `generated`, …; empty where there is no file."""
    needs_daemon_reload: bool = False
    """Its files changed since systemd read them."""
    can_reload: bool = False
    kind: str = ""
    """A service's Type, such as `simple` or `oneshot`."""
    stays: bool = False
    """Whether it counts as running after its process ended (RemainAfterExit)."""
    pid: int | None = None
    restarts: int = 0
    """Starts by systemd's own hand since somebody started it."""
    since: str = ""
    """When it was started last, as the wire formats write times; empty if it never was."""
    cpu: int | None = None
    """Nanoseconds of processor time, where they are accounted."""
    memory: int | None = None
    """Bytes, where they are accounted."""
    log_fields: str = ""
    """What each of its lines in the journal says beside (LogExtraFields)."""
    restart: str = "no"
    """When systemd starts it again by itself: `no`, `always`, `on-failure`, …"""
    by_signal: bool = False
    """Whether its main process was ended by a signal; `status` is then its number."""

    @property
    def runs(self) -> bool:
        """Whether it is up or coming up."""
        return self.active in RUNNING

    @property
    def masked(self) -> bool:
        """Whether nothing can start it."""
        return self.load == "masked" or self.file_state in ("masked", "masked-runtime")


def require_unit(name: str) -> str:
    """Return the whole name of a unit; raise `InputError` for anything else."""
    if len(name) > UNIT_LENGTH or not UNIT.fullmatch(name):
        message = f"{name!r} is no whole name of a unit, such as web.service, backup.timer or getty@tty1.service"
        raise InputError(message)
    return name


def look(systemd: Systemd, units: Iterable[str]) -> dict[str, Seen]:
    """Return what systemd says of each unit, by the name that it was asked by, in one call; one that it doesn't know is `not-found`.

    Raises:
        InputError: a name that is none of a unit.
        RetryError: systemd doesn't answer, or not as it is known to.
    """
    names = [require_unit(name) for name in dict.fromkeys(units)]
    if not names:
        return {}
    found = read(systemd.show(names, PROPERTIES))
    if len(found) != len(names):
        message = f"systemctl show answered for {len(found)} of {len(names)} units; look at `systemctl show {names[0]}`"
        raise RetryError(message)
    return dict(zip(names, found, strict=True))


def read(text: str) -> list[Seen]:
    """Read what `systemctl show` printed: one unit a block, in the order in which they were asked for.

    Raises:
        RetryError: not as systemctl writes it.
    """
    try:
        return [_seen(_fields(block)) for block in text.strip("\n").split("\n\n") if block]
    except (KeyError, ValueError) as error:
        message = f"systemctl show answered what can't be read ({error}); is this systemd 239 or later?"
        raise RetryError(message) from error


def _fields(block: str) -> dict[str, str]:
    fields = dict[str, str]()
    for line in block.splitlines():
        name, equals, value = line.partition("=")
        if not equals or name in fields:
            message = f"the line {line[:80]!r}"
            raise ValueError(message)
        fields[name] = value
    return fields


def _seen(fields: Mapping[str, str]) -> Seen:
    started = fields.get("ExecMainStartTimestamp") or fields.get("ActiveEnterTimestamp", "")
    return Seen(
        unit=fields["Id"],
        load=fields["LoadState"],
        error=_without_code(fields.get("LoadError", "")),
        active=fields["ActiveState"],
        sub=fields["SubState"],
        result=fields.get("Result", "success"),
        status=int(fields.get("ExecMainStatus") or 0),
        file_state=fields.get("UnitFileState", ""),
        needs_daemon_reload=_flag(fields["NeedDaemonReload"]),
        can_reload=_flag(fields["CanReload"]),
        kind=fields.get("Type", ""),
        stays=_flag(fields.get("RemainAfterExit", "no")),
        pid=_number(fields.get("MainPID", "")) or None,
        restarts=_number(fields.get("NRestarts", "")) or 0,
        since=_time(started),
        cpu=_number(fields.get("CPUUsageNSec", "")),
        memory=_number(fields.get("MemoryCurrent", "")),
        log_fields=fields.get("LogExtraFields", ""),
        restart=fields.get("Restart", "no"),
        by_signal=fields.get("ExecMainCode", "0") in _KILLED,
    )


def _flag(value: str) -> bool:
    if value not in ("yes", "no"):
        message = f"{value!r} where yes or no is due"
        raise ValueError(message)
    return value == "yes"


def _number(value: str) -> int | None:
    return None if value in _NONE else int(value)


def _time(value: str) -> str:
    """Return a time that systemctl wrote in UTC as the wire formats write it."""
    if value in _NONE or value == "n/a":
        return ""
    return timestamp(datetime.strptime(value, _TIME).replace(tzinfo=UTC))


def _without_code(error: str) -> str:
    """Return the sentence of `org.freedesktop.systemd1.NoSuchUnit "Unit web.service not found."`."""
    return error.partition(" ")[2].strip('"') if error.startswith("org.") else error
