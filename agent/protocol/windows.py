"""When something may be done: inside a window, which opens by a cron expression in a time zone of its own.

It stays open for a length of real time, so one that opens before clocks change closes an hour later or earlier on the clock, and
never lasts longer or shorter. Opening times that clocks skip come right after the gap; those that clocks show twice come once, at
the first. Rollouts go forward and hosts reboot by the same function.
"""

from collections.abc import Mapping
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


def window_of(stated: Mapping[str, Any]) -> Window:
    """Read a window as controls hold it, its duration in seconds; raise `MalformedError` for one that can't be."""
    try:
        window = Window(cron=str(stated["cron"]), duration=int(stated["duration"]), zone=str(stated.get("timeZone", "UTC")))
        next(CronSim(window.cron, datetime(2026, 1, 1, tzinfo=zone_of(window.zone))))
    except (KeyError, ValueError, OSError, CronSimError, StopIteration) as error:
        message = f"window {dict(stated)!r:.200}: it never opens, or its zone is not known: {error}"
        raise MalformedError(message) from error
    return window


def is_open(window: Window, moment: datetime) -> bool:
    """Return whether a window is open at an aware instant: from each opening on, for its duration."""
    return opening(window, moment - timedelta(seconds=window.duration)) <= moment


def opening(window: Window, after: datetime) -> datetime:
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
