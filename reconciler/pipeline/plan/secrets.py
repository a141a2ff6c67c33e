"""What no plan may show: whatever a rule that looks for secrets found, on either side of the change.

What a rule points at inside a file keeps the whole file's lines back, since a private key is more than the line that gives it
away. What it points at elsewhere (a parameter, an environment) is blotted out wherever it lands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.parts import Part
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.plan.states import Key
from reconciler.pipeline.policy.answers import resolve

WHOLE = ("files", "services", "containers", "hostFiles")
"""Sections whose items are texts of many lines on a host: all of one is kept back."""
LEAST = 4
"""Characters of a text that is blotted out: shorter ones stand in every other word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Veil:
    """What is kept back: items by where they are written, sources by path, with the rule; and texts, the longest first."""

    items: Mapping[tuple[str, int, Pointer], str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    texts: tuple[str, ...] = ()

    def over(self, compiled: Compiled | None) -> dict[Key, str]:
        """Return why items of a fleet's states are kept back, by field and name."""
        if compiled is None or not (self.items or self.sources):
            return {}
        kept = {
            (part.field, part.label): self.items.get((part.document.path, part.document.index, part.pointer[:3]), "")
            or self._of_source(part)
            for parts in compiled.provenance.parts.values()
            for part in parts
        }
        return {key: f"{rule} found a secret in it" for key, rule in kept.items() if rule}

    def _of_source(self, part: Part) -> str:
        stated = manifest.text(part.item.get("source"))
        return self.sources.get(manifest.source_path(part.document, stated) or "", "") if stated else ""


def veil(found: Iterable[tuple[Iterable[Finding], Iterable[Document]]]) -> Veil:
    """Return what findings keep back; each side's come with the documents that they are placed in."""
    items: dict[tuple[str, int, Pointer], str] = {}
    sources: dict[str, str] = {}
    texts: set[str] = set()
    for findings, given in found:
        documents = {(document.path, document.index): document for document in given}
        for finding in findings:
            place = finding.place
            document = documents.get((place.file, place.document))
            if not finding.sensitive:
                continue
            if document is None:
                sources[place.file] = finding.rule
            elif len(place.pointer) > 1 and place.pointer[1] in WHOLE:
                items[place.file, place.document, place.pointer[:3]] = finding.rule
            else:
                texts.update(_texts(resolve(document.value, place.pointer)))
    return Veil(items=items, sources=sources, texts=tuple(sorted(texts, key=len, reverse=True)))


def _texts(value: object) -> Iterable[str]:
    """Return the lines of a value, and of all values in it."""
    if isinstance(value, str):
        return [line for line in (part.strip() for part in value.split("\n")) if len(line) >= LEAST]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [line for part in parts for line in _texts(part)]
