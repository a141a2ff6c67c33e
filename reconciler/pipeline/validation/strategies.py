"""What a Fleet's strategy says that its schema can't judge: who approves, how many hosts at once, metrics, an end of what is critical."""

import re
from collections.abc import Iterator

from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.validation.fields import instant, items
from reconciler.pipeline.validation.findings import alternatives, schema_refused, shown, spelled

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def check(fleet: Document) -> Iterator[Finding]:
    """Yield all findings."""
    rollout = fleet.spec.get("rollout")
    if not isinstance(rollout, dict):
        return
    yield from _approvers(fleet)
    yield from _unavailable(fleet, rollout.get("maxUnavailable"))
    yield from _metrics(fleet)
    yield from _critical(fleet, rollout.get("critical"))


def _approvers(fleet: Document) -> Iterator[Finding]:
    for pointer, wave in items(fleet, "rollout", "waves"):
        if "approvers" in wave and wave.get("approval") != "required":
            message = "approvers belongs to a wave with approval: required"
            yield alternatives(fleet, (*pointer, "approvers"), message, "add approval: required, or leave it out", at_key=True)


def _unavailable(fleet: Document, stated: object) -> Iterator[Finding]:
    if not isinstance(stated, dict):
        return
    pointer = ("spec", "rollout", "maxUnavailable")
    given = [name for name in ("count", "share") if name in stated]
    if not given:
        yield alternatives(
            fleet, pointer, "maxUnavailable needs count or share", "say how many hosts", at_key=True, needs=("count", "share")
        )
    if len(given) > 1:
        message = "maxUnavailable has count or share, not both"
        yield alternatives(fleet, (*pointer, "share"), message, "leave one of them out", at_key=True)


def _metrics(fleet: Document) -> Iterator[Finding]:
    for pointer, metric in items(fleet, "rollout", "health", "metrics"):
        least, most = metric.get("min"), metric.get("max")
        if least is None and most is None:
            message = "a metric needs max, min, or both"
            yield alternatives(fleet, pointer, message, "say what the answer may be", needs=("max", "min"))
        if isinstance(least, (int, float)) and isinstance(most, (int, float)) and least > most:
            message = f"{spelled((*pointer, 'min'))}: {shown(least)} is more than max, so no answer is good"
            yield schema_refused(fleet, "limit", (*pointer, "min"), message, remedy="let min be less than max")


def _critical(fleet: Document, stated: object) -> Iterator[Finding]:
    until = stated.get("until") if isinstance(stated, dict) else None
    if isinstance(until, str) and _INSTANT.fullmatch(until) and instant(until) is None:
        message = f"spec.rollout.critical.until: {shown(until)} is no day of the calendar"
        remedy = "write an instant that exists, such as 2026-12-01T00:00:00Z"
        yield schema_refused(fleet, "date", ("spec", "rollout", "critical", "until"), message, remedy=remedy)
