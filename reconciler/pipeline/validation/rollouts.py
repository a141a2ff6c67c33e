"""What a Fleet says of time that its schema can't judge: freshness, waves, and the windows in which rollouts go forward."""

import difflib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from cronsim import CronSim, CronSimError

from agent.protocol import duration
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.validation.fields import items, seconds
from reconciler.pipeline.validation.findings import alternatives, refused, schema_refused, shown, spelled

FRESHNESS_LEAST, FRESHNESS_MOST = "1m", "90d"
"""Shorter than a minute and agents would distrust each pause of the network; longer than 90 days and a stolen key counts too long."""
CRON_FIELDS = 5
_CRON_ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


def check(fleet: Document) -> Iterator[Finding]:
    """Yield all findings."""
    yield from _freshness(fleet)
    yield from _waves(fleet)
    for pointer, stated in items(fleet, "rollout", "windows"):
        yield from window(fleet, pointer, stated)


def window(document: Document, pointer: Pointer, stated: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with a window: it never opens, or in no time zone."""
    yield from _cron(document, (*pointer, "cron"), stated.get("cron"))
    yield from _zone(document, (*pointer, "timeZone"), stated.get("timeZone"))


def _freshness(fleet: Document) -> Iterator[Finding]:
    freshness = seconds(fleet.spec.get("freshness"))
    if freshness is not None and not duration.seconds(FRESHNESS_LEAST) <= freshness <= duration.seconds(FRESHNESS_MOST):
        message = f"spec.freshness: {shown(fleet.spec['freshness'])} is not within {FRESHNESS_LEAST} and {FRESHNESS_MOST}"
        yield schema_refused(fleet, "limit", ("spec", "freshness"), message, remedy="choose how long agents may go without news")


def _waves(fleet: Document) -> Iterator[Finding]:
    """Yield waves that name nobody, and those whose limit is below an earlier one: limits are cumulative, so they add nobody."""
    most, before = -1.0, ""
    for pointer, wave in items(fleet, "rollout", "waves"):
        if "matchLabels" not in wave and "limit" not in wave:
            yield alternatives(
                fleet, pointer, "a wave needs matchLabels, limit, or both", "say who is in it", needs=("matchLabels", "limit")
            )
        share = _share(wave.get("limit"))
        if share is not None and share < most:
            where = (*pointer, "limit")
            message = f"{spelled(where)}: {shown(wave['limit'])} is less than {before}, which an earlier wave reached: it adds nobody"
            remedy = "limits are cumulative: let each be more than the one before"
            yield refused(fleet, "waves", where, message, remedy=remedy, action="warn")
        elif share is not None:
            most, before = share, str(wave["limit"])


def _share(limit: object) -> float | None:
    try:
        return float(limit.removesuffix("%")) if isinstance(limit, str) and limit.endswith("%") else None
    except ValueError:
        return None


def _cron(fleet: Document, pointer: Pointer, expression: object) -> Iterator[Finding]:
    if not isinstance(expression, str) or len(expression.split(" ")) != CRON_FIELDS:
        return
    try:
        next(CronSim(expression, _CRON_ORIGIN))
    except (CronSimError, StopIteration) as error:
        message = f"{spelled(pointer)}: {shown(expression)} never comes: {str(error) or 'no such day'}"
        remedy = 'write minute, hour, day of month, month and day of week, such as "0 8 * * 1-5"'
        yield schema_refused(fleet, "cron", pointer, message, remedy=remedy)


def _zone(fleet: Document, pointer: Pointer, zone: object) -> Iterator[Finding]:
    if not isinstance(zone, str) or zone in _zones():
        return
    close = difflib.get_close_matches(zone, _zones(), n=1)
    message = f"{spelled(pointer)}: {shown(zone)} is no time zone" + (f"; did you mean {close[0]}?" if close else "")
    yield schema_refused(fleet, "time-zone", pointer, message, remedy="write the name of a time zone, such as Europe/Berlin or UTC")


@cache
def _zones() -> frozenset[str]:
    """Return the names of the time zones (IANA), from the package and not from the machine, so that all judge alike."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split())
