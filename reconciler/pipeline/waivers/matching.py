"""Which waiver excuses which finding, which nothing needs, and why one that nearly fits does not.

A value is compared as canonical JSON, as findings hold it: in full or, where it is long or secret, by its digest
(`sha256:…`), which a waiver may name too. A waiver without a value counts only where the place holds no plain value.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.protocol.codec import sha256
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.waivers.terms import Waiver

DIGEST = "sha256:"
WHOLE = "."
"""The place that is the manifest itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding as waivers see it: `place` as `place_in` names it; `waivable` is false where its rule allows none.

    `plain` is false where the place holds nothing, a list or a mapping: then a waiver need not name the value. `whole` is all of
    the text that a finding is about a line of, as findings hold values: a waiver may name either.
    """

    finding: Finding
    place: str
    waivable: bool = True
    plain: bool = True
    whole: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A waiver of the rule and object of a finding that does not excuse it, and why, as a clause: `its value is now …`."""

    waiver: Waiver
    finding: Finding
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excused:
    """What waivers make of findings. `by` maps the number of a finding to its waiver; `unused` excused none of them."""

    by: Mapping[int, Waiver] = field(default_factory=dict)
    unused: tuple[Waiver, ...] = ()
    near: tuple[NearMiss, ...] = ()


def excuse(found: Sequence[Found], waivers: Iterable[Waiver], now: str) -> Excused:
    """Return which findings the waivers excuse at `now`; of several that fit, the one that ends last.

    One that has ended excuses nothing, is not `unused`, and may be a near miss; one that excuses something is a near miss of nothing.
    """
    about: dict[tuple[str, str], list[Waiver]] = {}
    for waiver in sorted(waivers, key=lambda one: (one.until, one.title)):
        about.setdefault((waiver.rule, str(waiver.object)), []).append(waiver)
    by: dict[int, Waiver] = {}
    missed: list[NearMiss] = []
    for number, one in enumerate(found):
        candidates = about.get((one.finding.rule, str(one.finding.object)), [])
        reasons = [misfit(waiver, one, now) for waiver in candidates]
        fitting = [waiver for waiver, why in zip(candidates, reasons, strict=True) if not why]
        if fitting:
            by[number] = fitting[-1]
        else:
            missed += [NearMiss(waiver=waiver, finding=one.finding, why=why) for waiver, why in zip(candidates, reasons, strict=True)]
    used = {waiver.title for waiver in by.values()}
    return Excused(
        by=by,
        unused=tuple(one for each in about.values() for one in each if one.counts(now) and one.title not in used),
        near=tuple(miss for miss in missed if miss.waiver.title not in used),
    )


def misfit(waiver: Waiver, one: Found, now: str) -> str:
    """Return why a waiver of its rule and object does not excuse a finding, empty where it does."""
    if not waiver.counts(now):
        return f"it ended at {waiver.until}"
    if one.finding.action == "error" or not one.waivable:
        return "what could not be judged can't be excused" if one.waivable else f"{one.finding.rule} can't be waived"
    if waiver.incident and not waiver.at:
        return ""
    if waiver.at != one.place:
        return f"it excuses {waiver.at}, and this is at {one.place}"
    return _misfit_of_value(waiver, one)


def _misfit_of_value(waiver: Waiver, one: Found) -> str:
    finding = one.finding
    if waiver.value is None:
        return "it names no value, and this place holds one: name the value that is excused" if one.plain else ""
    if _same(waiver.value, finding.value) or (one.whole and _same(waiver.value, one.whole)):
        return ""
    shown = "" if finding.sensitive or finding.value.startswith(DIGEST) else f" ({finding.value or 'nothing'})"
    return f"the value that it excuses is not the one that is there now{shown}"


def place_in(value: object, pointer: Pointer) -> str:
    """Return the place of a pointer into a manifest as waivers name it: from its spec, list items by name.

    `artifacts[otelcol].url` for what lies in the spec, `metadata.labels.team` beside it, `.` for the manifest as a whole.
    """
    parts: list[str] = []
    for step in pointer:
        value = _step(value, step)
        named = value.get("name", value.get("path")) if isinstance(value, dict) and isinstance(step, int) else None
        parts.append(f"[{named if isinstance(named, str) else step}]" if isinstance(step, int) else f".{step}")
    text = "".join(parts).removeprefix(".")
    return text.removeprefix("spec.") or WHOLE


def _step(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and 0 <= step < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def digest_of(text: str) -> str:
    """Return the digest by which a waiver may name a value, of its canonical JSON or of what a finding has of it."""
    return text if text.startswith(DIGEST) else DIGEST + sha256(text.encode(errors="surrogatepass"))


def canonical(value: Any) -> str:
    """Return a value as canonical JSON, as findings hold it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _same(stated: Any, held: str) -> bool:
    text = canonical(stated)
    by_digest = isinstance(stated, str) and stated.startswith(DIGEST) and stated == digest_of(held)
    return by_digest or held in (text, digest_of(text))
