"""A waiver as a manifest, ready to commit: one that a person would have written, and that says nothing twice."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from reconciler.pipeline.finding import ObjectName
from reconciler.pipeline.waivers.matching import DIGEST, Found

NAME_LIMIT = 63
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_READ_OTHERWISE = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a person says of a waiver: why, who answers for it, and its last day or, for an incident, the instant at which it ends."""

    reason: str
    owner: str
    until: str
    incident: str = ""
    approved_by: tuple[str, ...] = ()


def name_for(rule: str, about: ObjectName, taken: Collection[str]) -> str:
    """Return a name that no other waiver of the tenant has: `collector-https-only`, `collector-https-only-2`."""
    stem = f"{about.name}-{rule.rpartition('/')[2]}"[: NAME_LIMIT - 4].strip("-")
    numbered = (f"{stem}-{number}" if number > 1 else stem for number in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def value_for(found: Found) -> Any:
    """Return the value that a waiver names: itself or, where it is long or secret, its digest; None where the place has no plain value."""
    held = found.finding.value
    if not found.plain or not held:
        return None
    return held if held.startswith(DIGEST) else json.loads(held)


def text_for(found: Found, granted: Granted, name: str) -> str:
    """Return the manifest of a waiver of a finding; the finding names its object."""
    about = found.finding.object
    if about is None:
        message = "a finding without an object can't be waived"
        raise ValueError(message)
    value = value_for(found)
    lines = [
        "apiVersion: ordain.dev/v1",
        "kind: Waiver",
        f"metadata: {{name: {name}, tenant: {about.tenant}}}",
        "spec:",
        f"  rule: {found.finding.rule}",
        f"  object: {{kind: {about.kind}, name: {about.name}}}",
        f"  at: {written(found.place)}",
        *([f"  value: {written(value)}"] if value is not None else []),
        f"  reason: {written(granted.reason)}",
        f"  owner: {written(granted.owner)}",
        *_end(granted),
    ]
    return "\n".join(lines) + "\n"


def _end(granted: Granted) -> list[str]:
    if not granted.incident:
        return [f"  expires: {granted.until}"]
    people = ", ".join(written(name) for name in granted.approved_by)
    return [
        "  breakGlass:",
        f"    incident: {written(granted.incident)}",
        f"    until: {granted.until}",
        f"    approvedBy: [{people}]",
    ]


def written(value: Any) -> str:
    """Return a plain value as YAML on one line, in quotes wherever it might be read as something else."""
    if isinstance(value, str) and _WORD.fullmatch(value) and value.lower() not in _READ_OTHERWISE:
        return value
    return json.dumps(value, ensure_ascii=False)
