"""The items of a fleet's components that land on hosts, in the order in which a state lists them.

The order, the paths and the names are those of every group and mode alike, since references never stand in them; so a
place in a state leads back to an item, whatever the group.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across
from reconciler.pipeline.finding import Finding, Place, Pointer
from reconciler.pipeline.manifests import Document

Field = Literal["artifacts", "files", "probes"]
FIELDS: tuple[Field, ...] = ("artifacts", "files", "probes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file, artifact or probe of a component; `ref` names the component as the fleet's tenant does."""

    field: Field
    ref: str
    document: Document
    index: int
    item: Mapping[str, Any]

    @property
    def pointer(self) -> Pointer:
        """Where it stands in its document."""
        return ("spec", self.field, self.index)

    @property
    def name(self) -> str:
        """What orders it: the path of a file, the name of others."""
        return manifest.text(self.item.get("path" if self.field == "files" else "name"))

    @property
    def path(self) -> str:
        """The path that it owns on a host, empty for a probe."""
        return "" if self.field == "probes" else manifest.text(self.item.get("path"))

    @property
    def holds_others(self) -> bool:
        """Whether others may own paths below its own: a directory."""
        return self.field == "files" and self.item.get("type") == "directory" and self.item.get("absent") is not True

    def place(self, name: str) -> Place:
        """Return the place of one of its fields."""
        return self.document.place(*self.pointer, name)


def parts_of(components: Iterable[tuple[str, Document]]) -> dict[Field, list[Part]]:
    """Return the parts of components (name as the fleet's tenant writes it, document), each list sorted as in a state."""
    components = list(components)
    found: dict[Field, list[Part]] = {}
    for field in FIELDS:
        parts = (
            Part(field=field, ref=ref, document=document, index=index, item=item)
            for ref, document in components
            for index, item in manifest.items(document, field)
        )
        found[field] = sorted(parts, key=lambda part: (part.name, part.ref, part.index))
    return found


def owned(parts: Mapping[Field, Iterable[Part]]) -> dict[str, Part]:
    """Return the parts that own a path, by it; of two that own one, the first."""
    found: dict[str, Part] = {}
    for field in ("files", "artifacts"):
        for part in parts[field]:
            if part.path:
                found.setdefault(part.path, part)
    return found


def above(path: str) -> Iterator[str]:
    """Yield the directories above a path, nearest first, without the root."""
    while (path := path.rpartition("/")[0]) != "":
        yield path


def clashes(mine: Mapping[str, Part], others: Mapping[str, Part]) -> Iterator[tuple[Part, Part]]:
    """Yield (mine, other) where both own a path, or one lies below a path that the other owns and that is no directory."""
    for path, part in mine.items():
        if path in others:
            yield part, others[path]
        for directory in above(path):
            if directory in others and not others[directory].holds_others:
                yield part, others[directory]
    for path, other in others.items():
        for directory in above(path):
            if directory in mine and not mine[directory].holds_others:
                yield mine[directory], other


def check_parts(user: Document, parts: Mapping[Field, list[Part]]) -> Iterator[Finding]:
    """Yield what two items of a fleet, or of a component with its includes, both claim.

    That is a path, a path below a file, or the name of an artifact or a probe.
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
    for field in ("artifacts", "probes"):
        for first, second in zip(parts[field], parts[field][1:], strict=False):
            if first.name == second.name:
                message = f"components {first.ref} and {second.ref} both have {field[:-1]} {first.name}"
                yield _conflict(user, second, first, "name", message)


def _path_conflict(user: Document, part: Part, other: Part) -> Finding:
    if part.path == other.path:
        message = f"components {other.ref} and {part.ref} both own {part.path}"
        if other.ref == part.ref:
            message = f"component {part.ref} owns {part.path} twice"
    else:
        message = f"{part.path} of component {part.ref} lies below {other.path} of component {other.ref}, which is no directory"
    return _conflict(user, part, other, "path", message)


def _conflict(user: Document, part: Part, other: Part, claimed: Literal["path", "name"], message: str) -> Finding:
    remedy = f"leave the {claimed} to one of them, or use another {claimed}"
    also = (other.place(claimed), user)
    return across(f"{claimed}-conflict", part.document, (*part.pointer, claimed), message, remedy=remedy, also=also)
