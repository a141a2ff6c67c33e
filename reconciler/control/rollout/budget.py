"""The error budget: how fast a fleet uses up what its objective lets go wrong, from counts taken every few minutes.

Burn rates as in chapter 5 of Google's SRE workbook: the share of hosts that were unwell, over the share that may be. At 1 the budget is
gone at the end of the objective's window, at 2 in half of that.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from reconciler.control.rollout.gates import Burn
from reconciler.rollouts.strategy import WHOLE

EVERY = 300
"""Seconds between counts: a dozen for the shorter span."""
HOUR, SIX_HOURS = timedelta(hours=1), timedelta(hours=6)
NEEDED = 30
"""Minutes of the last hour that must be counted, half of it: until then the budget holds nothing, or setting objectives stopped a fleet."""
Sample = tuple[int, int, int]
"""When (Unix time, whole EVERYs), how many hosts were unwell, of how many."""


def is_due(samples: Sequence[Sample], now: datetime) -> bool:
    """Return whether it is time to count."""
    return not samples or samples[-1][0] < _slot(now)


def counted(samples: Sequence[Sample], *, unwell: int, hosts: int, now: datetime) -> list[Sample]:
    """Return the counts with a new one; what no span reaches is dropped."""
    oldest = _slot(now - SIX_HOURS)
    return [*(one for one in samples if oldest < one[0] < _slot(now)), (_slot(now), unwell, hosts)]


def burn_of(samples: Sequence[Sample], objective: int, now: datetime) -> Burn:
    """Return how fast the budget burns; `objective` is the share that is to be well, in thousandths of a per cent.

    A span of which less than half was counted says nothing.
    """
    return Burn(hour=_rate(samples, objective, now, HOUR), six_hours=_rate(samples, objective, now, SIX_HOURS))


def minutes(samples: Sequence[Sample], now: datetime) -> int:
    """Return how many minutes of the last hour were counted, 0 where no host was."""
    within = _within(samples, now, HOUR)
    return len(within) * EVERY // 60 if any(one[2] for one in within) else 0


def _rate(samples: Sequence[Sample], objective: int, now: datetime, span: timedelta) -> float | None:
    within = _within(samples, now, span)
    hosts = sum(one[2] for one in within)
    if not hosts or len(within) * EVERY * 2 < span.total_seconds():
        return None
    unwell = sum(one[1] for one in within) / hosts
    may = (WHOLE - objective) / WHOLE
    return unwell / may if may else (float("inf") if unwell else 0.0)


def _within(samples: Sequence[Sample], now: datetime, span: timedelta) -> list[Sample]:
    return [one for one in samples if one[0] > _slot(now - span)]


def _slot(now: datetime) -> int:
    return int(now.timestamp()) // EVERY * EVERY
