"""Making, merging and ordering of findings across documents.

Each names every file involved, so that acceptance can refuse those among them that changed.
"""

import difflib
from collections.abc import Collection, Iterable
from dataclasses import replace

from reconciler.pipeline.finding import Action, Finding, ObjectName, Place, Pointer
from reconciler.pipeline.manifests import Document

COMPARED = 1_000
"""Names that a misspelt one is compared with: 10 microseconds each, and a text may hold many misspelt ones."""
NAMED = 3
"""Names that a message gives before it counts the rest; all of them stand in `also`."""


def across(
    rule: str,
    document: Document,
    pointer: Pointer,
    message: str,
    *,
    remedy: str,
    also: Iterable[Document | Place] = (),
    fleets: Iterable[str] = (),
    missing: Iterable[ObjectName] = (),
    at_key: bool = False,
    place: Place | None = None,
    action: Action = "deny",
) -> Finding:
    """Return a finding about a pointer into a document, or about `place` where that is given, for `manifest/<rule>`."""
    here = place or Place(file=document.path, document=document.index, pointer=pointer, at_key=at_key)
    others = dict.fromkeys(place_of(item) for item in also)
    if place is not None:
        others.setdefault(place_of(document))
    others.pop(here, None)
    return Finding(
        action=action,
        rule=f"manifest/{rule}",
        code=f"manifest/{rule}",
        message=message,
        remedy=remedy,
        place=here,
        object=document.name,
        also=tuple(others),
        fleets=frozenset(fleets),
        missing=tuple(missing),
        scope="across",
    )


def place_of(item: Document | Place) -> Place:
    """Return a place, or that of the name of a document."""
    return item if isinstance(item, Place) else Place(file=item.path, document=item.index, pointer=("metadata", "name"))


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in order of place; what several fleets say of one component becomes one finding."""
    found: dict[tuple[str, Place, str], Finding] = {}
    for finding in findings:
        key = (finding.rule, finding.place, finding.message)
        known = found.get(key)
        if known is not None:
            also = dict.fromkeys((*known.also, *finding.also)) if known.also != finding.also else known.also
            finding = replace(known, also=tuple(also), fleets=known.fleets | finding.fleets)  # noqa: PLW2901 - the merged one takes its place
        found[key] = finding
    return sorted(found.values(), key=_order)


def _order(finding: Finding) -> tuple[object, ...]:
    place = finding.place
    pointer = tuple((isinstance(part, str), part) for part in place.pointer)
    return place.file, place.document, pointer, place.line or 0, place.offset or place.row or 0, finding.rule, finding.message


def denied(findings: Iterable[Finding]) -> list[Finding]:
    """Return those that keep something from being compiled."""
    return [finding for finding in findings if finding.action == "deny"]


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return `did you mean x?` with a space before it, or what there is to choose from, or nothing."""
    if len(known) > COMPARED:
        return f"there are {len(known):,} of them"
    close = difflib.get_close_matches(name, sorted(known), n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are: {named(sorted(known), limit=10)}" if known else "there are none"


def named(names: Collection[str], *, limit: int = NAMED, apart: str = ", ") -> str:
    """Return the first names, and how many more there are: `a, b, c and 7 more`; `apart` stands between them."""
    listed = list(names)
    shown = apart.join(listed[:limit])
    return f"{shown} and {len(listed) - limit} more" if len(listed) > limit else shown
