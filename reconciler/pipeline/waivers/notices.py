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
    ordered = sorted(waivers, key=lambda one: (one.until, one.title))
    found = ((waiver, ends_within(waiver.until, now)) for waiver in ordered)
    return tuple(Expiring(waiver=waiver, within=days) for waiver, days in found if days is not None)


def ends_within(until: str, now: str) -> int | None:
    """Return the least of NOTICE_DAYS within which an end comes; None where that is farther away, or past."""
    if until <= now:
        return None
    today = instant(now, what="now")
    return min((days for days in NOTICE_DAYS if until <= stamp(today + timedelta(days=days))), default=None)


def next_instant(waivers: Iterable[Waiver], now: str) -> str:
    """Return the next instant at which one of the waivers ends, empty where none does."""
    return min((waiver.until for waiver in waivers if waiver.counts(now)), default="")
