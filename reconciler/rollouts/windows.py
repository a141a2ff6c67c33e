"""When a rollout may go forward: inside a window, and not while frozen.

A window opens at the times of a cron expression in its own time zone and stays open for a length of real time, so one that
opens before clocks change closes an hour later or earlier on the clock, and never lasts longer or shorter. Opening times that
clocks skip come right after the gap; those that clocks show twice come once, at the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from agent.protocol.errors import MalformedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When it opens (cron, five fields), for how many seconds, and the IANA zone of its hours."""

    cron: str
    duration: int
    zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A time in which nothing goes forward: from `start`, until before `until`."""

    name: str
    start: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """When something may start at the earliest, and what it waits for last: `window`, `freeze NAME`, or nothing."""

    at: datetime
    reason: str = ""


def window_of(stated: Mapping[str, Any]) -> Window:
    """Read a window as controls hold it, its duration in seconds; raise `MalformedError` for one that can't be."""
    try:
        window = Window(cron=str(stated["cron"]), duration=int(stated["duration"]), zone=str(stated.get("timeZone", "UTC")))
        next(CronSim(window.cron, datetime(2026, 1, 1, tzinfo=zone_of(window.zone))))
    except (KeyError, ValueError, OSError, CronSimError, StopIteration) as error:
        message = f"window {dict(stated)!r:.200}: it never opens, or its zone is not known: {error}"
        raise MalformedError(message) from error
    return window


def earliest(windows: Sequence[Window], freezes: Sequence[Freeze], after: datetime) -> Start:
    """Return the first instant from `after` on in which a rollout may go forward, and what it waits for until then.

    `after` is aware; what is returned is in UTC.

    Raises:
        MalformedError: a window never opens again; `window_of` lets none of those in.
    """
    moment, reason = after.astimezone(UTC), ""
    for _ in range(2 * len(freezes) + 2):  # each freeze is left once, and between two of them one window is waited for
        frozen = [freeze for freeze in freezes if freeze.start <= moment < freeze.until]
        if frozen:
            last = max(frozen, key=lambda freeze: freeze.until)
            moment, reason = last.until.astimezone(UTC), f"freeze {last.name}"
        elif not windows or any(is_open(window, moment) for window in windows):
            return Start(at=moment, reason=reason)
        else:
            moment, reason = min(_opening(window, moment) for window in windows), "window"
    return Start(at=moment, reason=reason)


def is_open(window: Window, moment: datetime) -> bool:
    """Return whether a window is open at an aware instant: from each opening on, for its duration."""
    return _opening(window, moment - timedelta(seconds=window.duration)) <= moment


def _opening(window: Window, after: datetime) -> datetime:
    """Return the first opening after an instant, in UTC."""
    found = next(CronSim(window.cron, after.astimezone(zone_of(window.zone))), None)
    if found is None:
        message = f"window {window.cron!r} never opens again after {after:%Y-%m-%d}; correct its cron expression"
        raise MalformedError(message)
    return found.astimezone(UTC)


@cache
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone from the package and not from the machine, so that all reckon alike.

    Raises:
        OSError: there is none of that name.
    """
    if not all(part and part.replace("_", "").replace("+", "").replace("-", "").isalnum() for part in name.split("/")):
        message = f"{name!r} is no time zone"
        raise FileNotFoundError(message)
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)
