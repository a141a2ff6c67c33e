"""Asking rules about components also as a release has them: with labels and parameters filled in.

A value that comes from a fleet is in no component, so no rule would see the text that it becomes part of. Rules that say
`finished: true` are asked about each item that something was filled into, once for each set of values and by itself: about
what is beside it they have judged what is written. What they say of the written item too is not told again.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.filled import ITEM, WHOLE, Filled
from reconciler.pipeline.compile.parts import Part
from reconciler.pipeline.finding import Finding, Place, Pointer
from reconciler.pipeline.policy.answers import MESSAGE_LIMIT, Subject, line_of
from reconciler.pipeline.policy.evaluate import FinishedItem, Policies
from reconciler.pipeline.policy.metadata import COMPONENT
from reconciler.pipeline.policy.stages import cohort_of

KERNEL = "kernelSettings"
"""The one section that is no list."""
Spot = tuple[str, int, int | Pointer]
"""Where a finding is: the list, the index in that, and the line of the written content or the pointer below the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """Items of one component as one object; contents are among the `sources` too, so that rules can name their lines."""

    compiled: Compiled
    items: Mapping[str, list[Filled]]
    written: bool = False
    spec: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The list and the index of what each source is of."""

    def filled_out(self) -> "_Sheet":
        """Fill in what is asked about."""
        for name, items in self.items.items():
            listed = [self._fields(index, one) for index, one in enumerate(items)]
            self.spec[name] = {"sysctl": dict(ChainMap(*listed))} if name == KERNEL else listed
        return self

    def _fields(self, index: int, one: Filled) -> dict[str, Any]:
        fields = dict(one.stated) if self.written else one.fields
        content = one.content
        if content is not None:
            source = str(one.part.item.get("source", f"files{one.part.name}"))
            source = f"{source}#{index}" if source in self.sources else source
            self.sources[source], self.files[source] = content.text if self.written else one.finished, (one.part.section, index)
            fields |= {_content_of(one.part): self.sources[source], "source": source}
        return fields

    def asked(self) -> FinishedItem:
        """Return the question; its findings are placed by their pointers alone."""
        fleet = self.compiled.document
        value = {"apiVersion": fleet.value.get("apiVersion"), "kind": COMPONENT, "metadata": fleet.value.get("metadata"), "spec": self.spec}
        first = next(one for items in self.items.values() for one in items)
        return FinishedItem(
            subject=Subject(
                name=self.compiled.object,
                value={**value, "sources": {name: text.split("\n") for name, text in self.sources.items()}},
                place_of=lambda pointer: Place(file=first.part.document.path, pointer=pointer),
                fleets=frozenset({self.compiled.fleet}),
            ),
            input={"object": value, "old": None, "sources": self.sources, "provenance": {}},
            path=first.part.document.path,
            cohort=cohort_of(self.compiled.object, fleet.labels),
        )

    def spot(self, pointer: Pointer) -> Spot | None:
        """Return where a pointer leads to, None where that is no item; a line of a content is the same by whichever way it is named."""
        pointer, row = line_of({"spec": self.spec}, pointer) if pointer[:1] == ("spec",) else (pointer, None)
        match pointer:
            case ("sources", str(source), int(line), *_) if source in self.files:
                return self._line(*self.files[source], line)
            case ("spec", str(name), int(index), field) if row is not None and (field,) in WHOLE and (name, index) in self.files.values():
                return self._line(name, index, row)
            case ("spec", "kernelSettings", "sysctl", str(setting), *_):
                names = [one.part.name for one in self.items.get(KERNEL, ())]
                return (KERNEL, names.index(setting), ()) if setting in names else None
            case ("spec", str(name), int(index), *rest) if index < len(self.items.get(name, ())):
                return name, index, tuple(rest)
            case _:
                return None

    def _line(self, name: str, index: int, line: int) -> Spot:
        return name, index, line if self.written else self.items[name][index].line(line)


def ask_finished(policies: Policies, compiled: Compiled, change: Mapping[str, Any]) -> list[Finding]:
    """Return what rules about components say of what labels and parameters made of them in a release; scope "release".

    Raises:
        RetryError: OPA does not come up any more.
    """
    if not compiled.filled or not policies.asks_finished:
        return []
    sheets = [_Sheet(compiled=compiled, items=items).filled_out() for items in _rounds(compiled.filled)]
    answers = policies.finished([sheet.asked() for sheet in sheets], change)
    said = [(sheet, found) for sheet, found in zip(sheets, answers, strict=True) if found]
    before = [replace(sheet, written=True, spec={}, sources={}, files={}).filled_out() for sheet, _ in said]
    known = policies.finished([sheet.asked() for sheet in before], change) if before else []
    told: list[Finding] = []
    for (sheet, found), old, old_found in zip(said, before, known, strict=True):
        there = {(one.rule, spot, one.message) for one, spot in _spotted(old, old_found) if one.action != "error"}
        told += [_told(sheet, one, spot) for one, spot in _spotted(sheet, found) if (one.rule, spot, one.message) not in there]
    return told


def _rounds(filled: Sequence[Filled]) -> Iterator[Mapping[str, list[Filled]]]:
    """Yield items by their list, each once: those of one component together, and no item twice in two sets of values."""
    seen: dict[int, int] = {}
    rounds: dict[tuple[int, int], dict[str, list[Filled]]] = {}
    for one in filled:
        number = seen[id(one.part)] = seen.get(id(one.part), -1) + 1
        rounds.setdefault((id(one.part.document), number), {}).setdefault(one.part.section, []).append(one)
    yield from rounds.values()


def _spotted(sheet: _Sheet, found: Sequence[Finding]) -> Iterator[tuple[Finding, Spot | None]]:
    """Yield findings with where they are, each once; one about a content as a whole goes where the rule also named a line."""
    spots = [(one, sheet.spot(one.place.pointer)) for one in found]
    lines = {(one.rule, one.message, spot[:2]) for one, spot in spots if spot and isinstance(spot[2], int)}
    known = {(one.rule, one.message, one.value, spot): (one, spot) for one, spot in reversed(spots)}
    for one, spot in reversed(known.values()):
        whole = spot is not None and spot[2] in WHOLE
        if not whole or spot is None or (one.rule, one.message, spot[:2]) not in lines:
            yield one, spot


def _told(sheet: _Sheet, finding: Finding, spot: Spot | None) -> Finding:
    """Return a finding as one about the release, at what is written."""
    compiled = sheet.compiled
    if spot is None:
        return replace(finding, scope="release", place=compiled.place)
    name, index, where = spot
    one = sheet.items[name][index]
    line = where if isinstance(where, int) else None
    place = one.place(line) if line is not None else one.part.document.place(*_item_of(one.part), *_written(one, where))
    own = (one.part.document.place(),) if place.file != one.part.document.path else ()
    references = " and ".join(one.references(line))
    message = f"{finding.message}, once {references} is filled in for {compiled.fleet}"
    return replace(
        finding,
        scope="release",
        place=place,
        also=(*own, compiled.place),
        message=message if len(message) <= MESSAGE_LIMIT else finding.message,
    )


def _written(one: Filled, where: int | Pointer) -> Pointer:
    """Return a pointer into an item as its manifest has it: what comes from a source has no content there."""
    pointer = where if isinstance(where, tuple) else ()
    content = _content_of(one.part)
    names = {content: "source"} if "source" in one.stated else {"source": content}
    return (names.get(str(pointer[0]), pointer[0]), *pointer[1:]) if pointer else ()


def _content_of(part: Part) -> str:
    """Return the field of a manifest's item that holds all of a file."""
    return "unit" if part.section == "services" else "content"


def _item_of(part: Part) -> Pointer:
    """Return where the item stands that a part is of."""
    return part.pointer if part.section == KERNEL else part.pointer[:ITEM]
