"""When a rollout may go forward: inside a window, and not while frozen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.protocol.windows import Window, is_open, opening


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
            moment, reason = min(opening(window, moment) for window in windows), "window"
    return Start(at=moment, reason=reason)
