"""How often an agent reports, and when it keeps everything but heartbeats for later: pure, time passed in."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from agent.protocol import windows
from agent.protocol.errors import MalformedError
from reconciler.publication.controls import Reporting, Window

DAY = 86_400
HEARTBEAT_BYTES = 700
"""What a heartbeat and its answer cost on the wire, headers and TLS included; see benchmarks/, `talk`."""
HEARTBEATS_SHARE = 0.5
"""Of a day's bytes, heartbeats take no more than that: the rest is for what there is to say."""
OFTEN = 3
"""Heartbeats that an agent should have had before it counts as lost: one may get lost on the way, and another be late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`every` is the seconds between reports; where `brief`, they are heartbeats."""

    every: int
    brief: bool


def pace(reporting: Reporting, *, used: int, now: datetime) -> Pace:
    """Return how an agent goes on that has used so many bytes of this day (UTC)."""
    over = 0 < reporting.bytes_per_day * (1 - HEARTBEATS_SHARE) <= used
    return _pace(every(reporting), over or not is_open(reporting.windows, now))


@lru_cache(maxsize=1024)
def _pace(seconds: int, brief: bool) -> Pace:  # noqa: FBT001 - a key of the cache
    """Return the same object for all agents of the same pace."""
    return Pace(every=seconds, brief=brief)


def every(reporting: Reporting) -> int:
    """Return the seconds between reports: as asked for, or fewer a day where a day's bytes are few; but never so few as to look lost."""
    if not reporting.bytes_per_day:
        return max(reporting.every, 1)
    wanted = max(reporting.every, math.ceil(DAY * HEARTBEAT_BYTES / (reporting.bytes_per_day * HEARTBEATS_SHARE)))
    return max(min(wanted, reporting.lost_after // OFTEN), min(reporting.every, reporting.lost_after), 1)


def is_open(stated: Iterable[Window], now: datetime) -> bool:
    """Return whether details may be reported: inside any window, or where there is none; one that can't be read closes nothing."""
    found = list(stated)
    if not found:
        return True
    minute = int(now.timestamp()) // 60
    return any(_is_open(window.cron, window.duration, window.time_zone, minute) for window in found)


@lru_cache(maxsize=1024)
def _is_open(cron: str, duration: int, zone: str, minute: int) -> bool:
    """Return whether a window is open in a minute since 1970; thousands of agents ask about the same ones."""
    try:
        window = windows.window_of({"cron": cron, "duration": duration, "timeZone": zone})
        return windows.is_open(window, datetime.fromtimestamp(minute * 60, UTC))
    except (MalformedError, ValueError, OSError):
        return True


def day_of(now: datetime) -> int:
    """Return the number of the day in UTC, by which bytes are counted."""
    return int(now.timestamp()) // DAY


def is_lost(reporting: Reporting, last_seen: datetime, *, now: datetime) -> bool:
    """Return whether an agent that was seen last at that instant counts as lost."""
    return now - last_seen > timedelta(seconds=reporting.lost_after)
