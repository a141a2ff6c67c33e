"""What is wrong (or merely noted) with a manifest, before and after its line is known.

Stages return findings, which name a document and a JSON pointer. Lines are looked up only for those
findings that are shown, since positions cost twenty times what values do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["deny", "warn", "audit", "error"]
Pointer = tuple[str | int, ...]
"""Keys and list indexes from the root of a document: ("spec", "files", 0, "mode")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectName:
    """Which manifest: `tenant` is empty for those that belong to none (Repository, library)."""

    kind: str
    tenant: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.tenant + '/' if self.tenant else ''}{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Becomes:
    """What a rule's findings do from a day on: `level`, a stricter one, and the day it begins, UTC."""

    level: Literal["off", "audit", "warn", "deny"]
    day: str

    def __str__(self) -> str:
        return f"{self.level} from {self.day}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where: a file of the fleet repository, a document in it (from 0) and a pointer into that.

    `at_key` puts the caret on the key instead of its value (unknown and misspelt fields).
    `offset` is a character offset into the text at the pointer, for references in file contents; `row` one of its lines, from 0.
    `line` and `column` (from 1) are filled in only where a parser knows them and no pointer exists.
    """

    file: str
    document: int = 0
    pointer: Pointer = ()
    at_key: bool = False
    offset: int | None = None
    row: int | None = None
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that one rule says about one object, at one place.

    `rule` is `schema/<kind>`, `manifest/<what>` or a policy rule's id. `also` are the other places
    that it names, so that a finding across documents can be pinned on the files that changed.
    `fleets` (`tenant/name`) are those that can't be compiled or released because of it.
    """

    action: Action
    rule: str
    code: str
    message: str
    place: Place
    remedy: str = ""
    object: ObjectName | None = None
    also: tuple[Place, ...] = ()
    fleets: frozenset[str] = field(default_factory=frozenset)
    missing: tuple[ObjectName, ...] = ()
    """Objects that it says do not exist: where a commit removed one, the removal belongs to the finding."""
    scope: Literal["file", "across", "object", "release", "change"] = "file"
    value: str = ""
    """Canonical JSON of the value at the place, or of the line of it, shortened by its digest where long: what makes a verdict standing."""
    meant: str = ""
    """The field that an unknown one is nearly: what only misses that one is a consequence, and is not said."""
    needs: tuple[str, ...] = ()
    """Fields at the place, any of which would settle it."""
    sensitive: bool = False
    """Whether the line that it is about may hold a secret, and so is not shown."""
    becomes: Becomes | None = None
    """What it will do from some day on, where that is stricter."""

    @property
    def files(self) -> frozenset[str]:
        """All files that it names."""
        return frozenset({self.place.file, *(place.file for place in self.also)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived:
    """The waiver that excuses a verdict: `waiver` is `tenant/name`, `until` the first instant at which it no longer does."""

    waiver: str
    owner: str
    reason: str
    until: str
    file: str
    incident: str = ""

    def __str__(self) -> str:
        glass = f", glass broken for {self.incident}" if self.incident else ""
        return f"{self.waiver} until {self.until}{glass}: {self.reason} ({self.owner})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A finding as it is shown and recorded: with line and column, from 1."""

    action: Action
    rule: str
    code: str
    message: str
    remedy: str
    file: str
    line: int
    column: int
    pointer: str
    object: ObjectName | None
    standing: bool = False
    source_line: str = ""
    """The text of that line, for people; not part of records."""
    fingerprint: str = ""
    """A digest of rule, object, place by name and value: the same wherever the lines around it move."""
    blocks_standing: bool = False
    """Whether its rule refuses what stood before, too."""
    waived: Waived | None = None
    """The waiver that excuses it: then it refuses nothing."""
    notes: tuple[str, ...] = ()
    """What else is to be said of it: why a waiver does not fit, say."""
    becomes: Becomes | None = None
    """What it will do from some day on, where that is stricter."""

    @property
    def mark(self) -> str:
        """Why it refuses nothing though it might, in brackets after its action: ` (waived)`, ` (standing)`, or nothing."""
        return " (waived)" if self.waived else " (standing)" if self.standing else ""

    @property
    def asides(self) -> tuple[str, ...]:
        """Who excuses it, why and until when, and what else is to be said: a sentence each."""
        soon = f"{self.action} now, {self.becomes}" if self.becomes else ""
        return (*((f"waived by {self.waived}",) if self.waived else ()), *((soon,) if soon else ()), *self.notes)

    @property
    def blocking(self) -> bool:
        """Whether it refuses something: an error always, a deny unless it is waived or merely standing."""
        return self.waived is None and blocks(self.action, standing=self.standing, blocks_standing=self.blocks_standing)


def blocks(action: Action, *, standing: bool, blocks_standing: bool) -> bool:
    """Return whether something found refuses what it was found on."""
    return action == "error" or (action == "deny" and (not standing or blocks_standing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a rule says of itself. `level` is what it does here, `scope` what it is asked about."""

    id: str
    title: str
    description: str
    remedy: str
    level: Literal["off", "audit", "warn", "deny"] = "deny"
    scope: str = "file"
    code: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    waivable: bool = True
    becomes: Becomes | None = None
    """The stricter level that it has from some day on."""


def as_json(one: Verdict) -> dict[str, Any]:
    """Return a verdict as it stands in JSON output and in decision records."""
    named = {"kind": one.object.kind, "tenant": one.object.tenant, "name": one.object.name} if one.object else None
    return {
        "action": one.action,
        "rule": one.rule,
        "code": one.code,
        "message": one.message,
        "remedy": one.remedy,
        "file": one.file,
        "line": one.line,
        "column": one.column,
        "pointer": one.pointer,
        "object": named,
        "standing": one.standing,
        "waived": waived_json(one.waived) if one.waived else None,
        "becomes": becomes_json(one.becomes),
        "notes": list(one.notes),
    }


def becomes_json(one: Becomes | None) -> dict[str, str] | None:
    """Return what a level becomes, and from which day on, as it stands in JSON output; null where it stays."""
    return {"level": one.level, "from": one.day} if one is not None else None


def waived_json(one: Waived) -> dict[str, Any]:
    """Return what excuses a verdict as it stands in JSON output."""
    stated = {"waiver": one.waiver, "owner": one.owner, "reason": one.reason, "until": one.until, "file": one.file}
    return stated | ({"incident": one.incident} if one.incident else {})
