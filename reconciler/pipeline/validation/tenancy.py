"""What a Tenant, an Agent and an AgentPool say of reports, retention and enrolment that their schemas can't judge."""

import re
from collections.abc import Iterator

from agent.protocol import duration
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.validation.fields import items, seconds
from reconciler.pipeline.validation.findings import refused, schema_refused, shown, spelled
from reconciler.pipeline.validation.rollouts import window
from reconciler.pipeline.validation.schemas import schema

EVERY, LOST_AFTER = "60s", "5m"
"""Between reports, and without one until an agent counts as lost, where `reporting` leaves it out; as the schemas say."""
REPORTING_BOUNDS = ("5s", "90d")
"""Agents that report more often are a storm; one that may be silent for longer than releases live is beyond help."""
KEPT_BOUNDS = ("1d", "3650d")
"""Shorter and last night's trouble is gone in the morning; longer and no disk was ever sized for it."""

_SPAN = re.compile(schema("tenant")["$defs"]["span"]["pattern"])


def reporting(document: Document) -> Iterator[Finding]:
    """Yield what is wrong with how agents report; what is left out of a block is as the schema says, whoever else has one."""
    stated = document.spec.get("reporting")
    if not isinstance(stated, dict):
        return
    pointer = ("spec", "reporting")
    every, lost = seconds(stated.get("every", EVERY)), seconds(stated.get("lostAfter", LOST_AFTER))
    if every is not None and lost is not None and lost <= every:
        message = "spec.reporting: lostAfter must be longer than every, or agents are lost between two reports"
        remedy = "make lostAfter a few times as long as every"
        yield schema_refused(document, "limit", pointer, message, remedy=remedy, at_key=True)
    yield from _within(document, "reporting", "every", REPORTING_BOUNDS)
    yield from _within(document, "reporting", "lostAfter", REPORTING_BOUNDS)
    for where, item in items(document, "reporting", "windows"):
        yield from window(document, where, item)


def retention(document: Document) -> Iterator[Finding]:
    """Yield spans that are too short to be of use, or longer than anything is kept."""
    stated = document.spec.get("retention")
    for name in stated if isinstance(stated, dict) else ():
        yield from _within(document, "retention", name, KEPT_BOUNDS)


def platforms(document: Document) -> Iterator[Finding]:
    """Yield issuers that are named twice for one audience: a token is held to one entry, so the second would never count."""
    seen: set[tuple[str, str]] = set()
    for pointer, item in items(document, "enrolment", "platforms"):
        said = (str(item.get("issuer")), str(item.get("audience")))
        if said in seen:
            message = f"{spelled(pointer)}: issuer {shown(item.get('issuer'))} stands there already for this audience"
            remedy = "list all values of a claim in one entry, or let these tokens be made out for another audience"
            yield refused(document, "duplicate", (*pointer, "issuer"), message, remedy=remedy)
        seen.add(said)


def _within(document: Document, block: str, name: str, bounds: tuple[str, str]) -> Iterator[Finding]:
    value = document.spec[block].get(name)
    found, (least, most) = seconds(value), bounds
    too_long = found is None and isinstance(value, str) and _SPAN.fullmatch(value) is not None  # longer than any duration here
    if too_long or (found is not None and not duration.seconds(least) <= found <= duration.seconds(most)):
        message = f"spec.{block}.{name}: {shown(value)} is not within {least} and {most}"
        yield schema_refused(document, "limit", ("spec", block, name), message, remedy=f"choose a time from {least} to {most}")
