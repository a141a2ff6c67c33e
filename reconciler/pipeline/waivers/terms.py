"""What a Waiver manifest says, and until when it counts.

A waiver counts until the end of its day, UTC. One for an incident (`breakGlass`) counts until an instant, some hours away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from reconciler.pipeline.finding import ObjectName, Place, Waived
from reconciler.pipeline.manifests import Document
from reconciler.publication.times import instant, stamp

WAIVER_DAYS = 90
"""The farthest day on which a waiver may end: what should hold for longer is a change of the rule."""
BREAK_GLASS_HOURS = 12
"""The longest that one for an incident may last: two shifts, after which people who slept look at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """What one waiver excuses. `until` is the first instant at which it no longer counts, as `stamp` writes it.

    `at` is empty only where one for an incident excuses all that its rule says of its object. `value` is None where
    the manifest names none. `place` is the manifest's own, in the fleet repository.
    """

    name: ObjectName
    rule: str
    object: ObjectName
    at: str
    value: str | float | bool | None
    reason: str
    owner: str
    until: str
    place: Place
    incident: str = ""
    """The incident that it breaks the glass for; empty for others."""

    @property
    def title(self) -> str:
        """How people know it: `shop/legacy-mirror`."""
        return f"{self.name.tenant}/{self.name.name}"

    @property
    def last_day(self) -> str:
        """The last day on which it counts: `2027-01-31`."""
        return (instant(self.until, what="the end of a waiver") - timedelta(seconds=1)).date().isoformat()

    @property
    def shown(self) -> Waived:
        """What verdicts say of it."""
        return Waived(
            waiver=self.title, owner=self.owner, reason=self.reason, until=self.until, file=self.place.file, incident=self.incident
        )

    def counts(self, now: str) -> bool:
        """Return whether it is in force at an instant."""
        return now < self.until


def read(document: Document) -> Waiver | None:
    """Return the waiver that a manifest is; None for other kinds, and for one that its schema refuses."""
    spec, name = document.spec, document.name
    about = spec.get("object")
    if name is None or document.kind != "Waiver" or not isinstance(about, Mapping):
        return None
    glass = spec.get("breakGlass")
    until = ends(spec)
    named = [about.get("kind"), about.get("name"), spec.get("rule"), spec.get("reason"), spec.get("owner")]
    if until is None or not all(isinstance(text, str) for text in named):
        return None
    return Waiver(
        name=name,
        rule=str(spec["rule"]),
        object=ObjectName(kind=str(about["kind"]), tenant=name.tenant, name=str(about["name"])),
        at=str(spec.get("at", "")),
        value=spec.get("value"),
        reason=str(spec["reason"]),
        owner=str(spec["owner"]),
        until=stamp(until),
        place=document.place(),
        incident=str(glass.get("incident", "")) if isinstance(glass, Mapping) else "",
    )


def ends(spec: Mapping[str, Any]) -> datetime | None:
    """Return the first instant at which a waiver's spec no longer counts; None where it states none that can be read."""
    glass = spec.get("breakGlass")
    try:
        if isinstance(glass, Mapping):
            return datetime.fromisoformat(str(glass.get("until"))).astimezone(UTC)
        last = date.fromisoformat(str(spec.get("expires")))
        return datetime.combine(last, time(), UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        return None
