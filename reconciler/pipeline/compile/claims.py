"""What only one may own: a path, or a process, a package, a user of one name; within a fleet, and among the fleets of a host."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across
from reconciler.pipeline.compile.parts import FIELDS, OF_ONE_FLEET, Field, Part, above
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document


def owned(parts: Mapping[Field, Iterable[Part]]) -> dict[str, Part]:
    """Return the parts that own something of a host, by what they claim; of two that claim one thing, the first."""
    found: dict[str, Part] = {}
    for field in FIELDS:
        for part in parts[field] if field not in OF_ONE_FLEET or field == "artifacts" else ():
            if part.path or (part.name and field != "artifacts"):
                found.setdefault(part.claim, part)
    return found


def clashes(mine: Mapping[str, Part], others: Mapping[str, Part]) -> Iterator[tuple[Part, Part]]:
    """Yield (mine, other) where both own one thing, or one lies below a path that the other owns and that is no directory.

    Lines in a file that the other owns as a whole are such a clash too.
    """
    for claim, part in mine.items():
        if claim in others:
            yield part, others[claim]
        if part.field == "hostFiles" and _of_lines(part) in others:
            yield part, others[_of_lines(part)]
        for directory in above(part.path):
            if directory in others and not others[directory].holds_others:
                yield part, others[directory]
    for other in others.values():
        if other.field == "hostFiles" and _of_lines(other) in mine:
            yield mine[_of_lines(other)], other
        for directory in above(other.path):
            if directory in mine and not mine[directory].holds_others:
                yield mine[directory], other


def _of_lines(part: Part) -> str:
    """Return the file that a block of lines goes into."""
    return manifest.text(part.item.get("path"))


def check_parts(user: Document, parts: Mapping[Field, list[Part]]) -> Iterator[Finding]:
    """Yield what two items of a fleet, or of a component with its includes, both claim.

    That is a path, a path below a file, or the name of anything else.
    """
    seen: dict[str, Part] = {}
    for part in (*parts["files"], *parts["artifacts"]):
        if part.path and part.path in seen:
            yield _path_conflict(user, part, seen[part.path])
        elif part.path:
            seen[part.path] = part
    for path, part in seen.items():
        for directory in above(path):
            if directory in seen and not seen[directory].holds_others:
                yield _path_conflict(user, part, seen[directory])
    for part in parts["hostFiles"]:
        if _of_lines(part) in seen:
            yield _line_conflict(user, part, seen[_of_lines(part)])
    yield from _name_conflicts(user, parts)


def _name_conflicts(user: Document, parts: Mapping[Field, list[Part]]) -> Iterator[Finding]:
    for field in FIELDS:
        first: dict[str, Part] = {}
        for part in parts[field] if field != "files" else ():
            claim = part.name if field == "artifacts" else part.claim
            other = first.setdefault(claim, part)
            if other is not part:
                yield _conflict(user, part, other, "when" if field == "reboot" else "name", _both(part, other))


def _both(part: Part, other: Part) -> str:
    what = f"artifact {part.name}" if part.field == "artifacts" else part.claim
    if part.field == "reboot":
        return f"components {other.ref} and {part.ref} both say when the host reboots"
    if part.section != other.section:
        one, two = (f"a {which.section.removesuffix('s')} of component {which.ref}" for which in (other, part))
        return f"{one} and {two} are both {what}"
    return f"components {other.ref} and {part.ref} both have {what}" if other.ref != part.ref else f"component {part.ref} has {what} twice"


def _path_conflict(user: Document, part: Part, other: Part) -> Finding:
    if part.path == other.path:
        message = f"components {other.ref} and {part.ref} both own {part.path}"
        if other.ref == part.ref:
            message = f"component {part.ref} owns {part.path} twice"
    else:
        message = f"{part.path} of component {part.ref} lies below {other.path} of component {other.ref}, which is no directory"
    return _conflict(user, part, other, "path", message)


def _line_conflict(user: Document, part: Part, other: Part) -> Finding:
    message = f"component {part.ref} has {part.claim}, and component {other.ref} owns all of that file"
    return _conflict(user, part, other, "path", message)


def _conflict(user: Document, part: Part, other: Part, claimed: Literal["path", "name", "when"], message: str) -> Finding:
    if claimed == "when":
        return across(
            "name-conflict", part.document, part.at("when"), message, remedy="leave it to one of them", also=(other.place("when"), user)
        )
    remedy = f"leave the {claimed} to one of them, or use another {claimed}"
    if part.document is not other.document and claimed == "name":
        remedy = f"{remedy}; what both need goes into a component that both include"
    also = (other.place(claimed), user)
    return across(f"{claimed}-conflict", part.document, part.at(claimed), message, remedy=remedy, also=also)
