"""What labels and parameters made of an item: its finished texts, and from which of the written lines each of theirs comes."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.protocol import rendering
from agent.protocol.state import File, Struct
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.parts import Part
from reconciler.pipeline.compile.shaping import FILLED, RENDERED
from reconciler.pipeline.compile.texts import Text
from reconciler.pipeline.finding import Place, Pointer

ITEM = 3
"""Steps of a pointer to an item of a list of a spec: ("spec", "files", 0)."""
WHOLE: tuple[Pointer, ...] = (("content",), ("source",), ("unit",))
"""Where in an item all of a file stands, whose lines rules name."""
GIVEN = ("labels", "parameters")
"""The spaces whose references are filled in before a release is judged; the others stay for the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """An item with one set of values; `values` are those of its references by (space, name), `texts` what was written."""

    part: Part
    item: Struct
    values: Mapping[tuple[str, str], str]
    texts: Sequence[Text]

    resolved: Mapping[str, Any]
    """The fields of the part with its texts filled in."""

    @property
    def stated(self) -> Mapping[str, Any]:
        """The item of the manifest that the part is of, as it is written."""
        found: Any = manifest.mapping(self.part.document.spec).get(self.part.section)
        return {self.part.name: self.part.item["value"]} if self.part.field == "sysctls" else manifest.mapping(found[self.part.pointer[2]])

    @property
    def fields(self) -> dict[str, Any]:
        """The same with the texts of this part as they are in the state."""
        if self.part.field == "sysctls":
            return {self.part.name: self.resolved["value"]}
        fields = copy.deepcopy(dict(self.stated))
        for name in RENDERED if self.part.render is not None else FILLED.get(self.part.field, ()):
            if name in self.resolved:
                _put(fields, self.part.at(name)[ITEM:], self.resolved[name])
        return fields

    @property
    def finished(self) -> str:
        """The content of a file as it lies on the host."""
        return self.item.content or "" if isinstance(self.item, File) else ""

    @property
    def content(self) -> Text | None:
        """The content of a file as it was written, in the manifest or in a source; None for what is no file of one text."""
        if self.part.field != "files" or self.part.render is not None:
            return None
        return next((text for text in self.texts if text.pointer[ITEM:] in WHOLE), None)

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
    """Return the texts with references by document and each pointer that they stand at or below, from that of their item on."""
    found: dict[tuple[int, Pointer], list[Text]] = {}
    for component in texts.values():
        for text in component:
            if text.used:
                for length in range(ITEM, len(text.pointer) + 1):
                    found.setdefault((id(text.document), text.pointer[:length]), []).append(text)
    return found


def _put(fields: Any, pointer: Pointer, value: Any) -> None:
    """Put a value where a pointer leads."""
    for step in pointer[:-1]:
        fields = fields[step]
    fields[pointer[-1]] = value
