"""A text as it lies on a host, in pieces that know where they come from.

It is filled in as `agent.protocol.rendering` does it, first by the compiler and then on the host, but in one step that keeps the map.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.protocol import rendering

Reference = tuple[str, str]
"""(space, name): ("parameters", "sampling")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Characters of a rendered text: `offset` is where they stand in the text that it was made from, or where the reference does."""

    text: str
    offset: int
    reference: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a rendered text: where it begins in the text that it was made from, and the references that filled it, in order.

    `inside` is the offset into the value of the reference that the line begins in, where it begins in one that has several lines.
    """

    text: str
    offset: int
    references: tuple[Reference, ...]
    inside: int = 0


def pieces(text: str, values: Mapping[str, Mapping[str, str]]) -> Iterator[Piece]:
    """Yield the pieces of a text; `values` has the labels, the parameters and the agent's fields by space.

    What has no value stays as it is written, as the compiler would have refused it.
    """
    end = 0
    for match in rendering.REFERENCE.finditer(text):
        yield Piece(text=text[end : match.start()], offset=end)
        space, name = match["space"], match["name"]
        if match["escape"]:
            yield Piece(text=match[0][1:], offset=match.start() + 1)
        elif name in values.get(space, {}):
            yield Piece(text=values[space][name], offset=match.start(), reference=(space, name))
        else:
            yield Piece(text=match[0], offset=match.start())
        end = match.end()
    yield Piece(text=text[end:], offset=end)


def line_of(found: Sequence[Piece], number: int) -> Line | None:
    """Return a line of a rendered text, from 1; None past its end. What ends in a line end has no empty line after it."""
    rows = "".join(piece.text for piece in found).split("\n")
    if not rows[-1]:
        rows.pop()
    if number > len(rows):
        return None
    begin = sum(len(row) + 1 for row in rows[: number - 1])
    end = begin + len(rows[number - 1])
    on_it = [
        (piece, at) for piece, at in _placed(found) if at <= end and (at + len(piece.text) > begin or (at >= begin and piece.reference))
    ]
    first, at = on_it[0]
    inside = max(0, begin - at)
    return Line(
        text=rows[number - 1],
        offset=first.offset if first.reference else first.offset + inside,
        references=tuple(dict.fromkeys(piece.reference for piece, _ in on_it if piece.reference is not None)),
        inside=inside if first.reference else 0,
    )


def _placed(found: Sequence[Piece]) -> Iterator[tuple[Piece, int]]:
    """Yield the pieces that are not nothing with where they begin in the rendered text."""
    at = 0
    for piece in found:
        if piece.text or piece.reference:
            yield piece, at
        at += len(piece.text)
