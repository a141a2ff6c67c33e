"""What labels and parameters made of an item: its finished texts, and from which of the written lines each of theirs comes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.protocol import rendering
from agent.protocol.state import Artifact, File, Probe
from reconciler.pipeline.compile.parts import Part
from reconciler.pipeline.compile.texts import TEXT_FIELDS, Text
from reconciler.pipeline.finding import Place, Pointer

GIVEN = ("labels", "parameters")
"""The spaces whose references are filled in before a release is judged; the others stay for the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """An item with one set of values; `values` are those of its references by (space, name), `texts` what was written."""

    part: Part
    item: Artifact | File | Probe
    values: Mapping[tuple[str, str], str]
    texts: Sequence[Text]

    @property
    def fields(self) -> dict[str, Any]:
        """The item as its manifest has it, with its texts as they are in the state."""
        built = msgspec.to_builtins(self.item)
        names = [name for name in TEXT_FIELDS[self.part.field] if name in built]
        return {**self.part.item, **{name: built[name] for name in names}}

    @property
    def content(self) -> Text | None:
        """The content of a file as it was written, in the manifest or in a source; None for what is no file."""
        contents = (text for text in self.texts if text.pointer[3:] in (("content",), ("source",)))
        return next(contents, None) if self.part.field == "files" else None

    def line(self, number: int) -> int:
        """Return from which line of the written content a line of the finished one comes; a value may have several."""
        written = self.content
        end = 0
        lines = written.text.split("\n") if written else []
        for index, line in enumerate(lines):
            end += 1 + sum(self.values.get((space, name), "").count("\n") for space, name, _ in rendering.references(line))
            if number < end:
                return index
        return max(0, len(lines) - 1)

    def place(self, line: int) -> Place:
        """Return the place of a written line of the content: its first reference, or where it begins."""
        written = self.content
        if written is None:
            return self.part.document.place(*self.part.pointer)
        lines = written.text.split("\n")[: line + 1]
        begins = sum(len(each) + 1 for each in lines[:-1])
        first = next((offset for space, _, offset in rendering.references(lines[-1]) if space in GIVEN), 0)
        return written.place(begins + first)

    def references(self, line: int | None = None) -> list[str]:
        """Return the references that were filled in, as they are written: those of a written line, else all of the item."""
        texts = [text.text for text in self.texts]
        if line is not None and self.content is not None:
            texts = [self.content.text.split("\n")[line]]
        return list(dict.fromkeys(_given(texts))) or ([] if line is None else self.references())


def _given(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        for space, name, _ in rendering.references(text):
            if space in GIVEN:
                yield f"${{{space}.{name}}}"


def texts_by_item(texts: Mapping[str, Sequence[Text]]) -> dict[tuple[int, Pointer], list[Text]]:
    """Return the texts of each item that has a reference, by document and pointer."""
    found: dict[tuple[int, Pointer], list[Text]] = {}
    for component in texts.values():
        for text in component:
            if text.used:
                found.setdefault((id(text.document), text.pointer[:3]), []).append(text)
    return found
