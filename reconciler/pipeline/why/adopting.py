"""A file of a host, taken over into the text that it was made from: what is filled in there stays filled in, what was changed is put in.

Line by line, since a reference stands within one. A line that was changed and has a reference is for a person: whether the value or the
text around it was meant, nobody can tell from the outcome.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from agent.protocol import rendering
from agent.protocol.errors import InputError
from reconciler.pipeline.why.rendered import pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One line of the text, with its line end, and how it lies on the host."""

    template: str
    rendered: str

    @property
    def has_reference(self) -> bool:
        return any(rendering.references(self.template))


def adopted(text: str, values: Mapping[str, Mapping[str, str]], content: str, *, what: str) -> str:
    """Return the text of which a host makes `content`; `values` are the host's, by space, and `what` names it in errors.

    Raises:
        InputError: nothing differs, or a line with a reference was changed.
    """
    rows = [_Row(template=line, rendered="".join(piece.text for piece in pieces(line, values))) for line in _lines(text)]
    wanted = _lines(content)
    if [row.rendered for row in rows] == wanted:
        message = f"{what} is as its release says: there is nothing to adopt"
        raise InputError(message)
    made: list[str] = []
    matcher = SequenceMatcher(None, [row.rendered for row in rows], wanted, autojunk=False)
    for kind, first, last, begin, end in matcher.get_opcodes():
        if kind == "equal":
            made += [row.template for row in rows[first:last]]
            continue
        for number, row in enumerate(rows[first:last], start=first + 1):
            _require_plain(row, number, what)
        made += map(rendering.literal, wanted[begin:end])
    return "".join(made)


def _require_plain(row: _Row, number: int, what: str) -> None:
    if row.has_reference:
        message = (
            f"{what}: line {number} of its text, {row.template.strip()[:80]!r}, is filled in by ordain and reads otherwise on the host; "
            "change what fills it in (`ordain why` names it), or give the line in --content as the release has it"
        )
        raise InputError(message)


def _lines(text: str) -> list[str]:
    return list(_split(text))


def _split(text: str) -> Iterator[str]:
    """Yield lines with their line feeds, and no other character as an end of line."""
    while text:
        line, feed, text = text.partition("\n")
        yield line + feed
