"""What is to be said of waivers as time passes: which ones end soon, and when that changes next."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from reconciler.pipeline.waivers.terms import Waiver
from reconciler.publication.times import instant, stamp

NOTICE_DAYS = (30, 7, 1)
"""Days before its end from which on a waiver is told of: to plan, to act, to be awake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiring:
    """A waiver that ends within `within` days (one of NOTICE_DAYS, the smallest that fits)."""

    waiver: Waiver
    within: int


def expiring(waivers: Iterable[Waiver], now: str) -> tuple[Expiring, ...]:
    """Return the waivers in force that end within 30, 7 or 1 days, the next to end first."""
    today = instant(now, what="now")
    limits = {days: stamp(today + timedelta(days=days)) for days in NOTICE_DAYS}
    found = []
    for waiver in sorted(waivers, key=lambda one: (one.until, one.title)):
        within = [days for days, limit in limits.items() if waiver.until <= limit]
        if within and waiver.counts(now):
            found.append(Expiring(waiver=waiver, within=min(within)))
    return tuple(found)


def next_instant(waivers: Iterable[Waiver], now: str) -> str:
    """Return the next instant at which one of the waivers ends, empty where none does."""
    return min((waiver.until for waiver in waivers if waiver.counts(now)), default="")
