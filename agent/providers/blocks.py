"""Blocks of lines in a text that others write too, each between two marks: `# ordain:<name> begin` and `# ordain:<name> end`.

Pure. All outside a block stays byte for byte: line ends are those of the line before (CRLF where it has that), and a text
whose last line has no end keeps it so. Putting a block in and taking it out again gives the text back. Marks that were damaged
are never guessed about: a wrong guess would cut away lines that belong to somebody else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.protocol.errors import RefusedError

_MARK = re.compile(rb"[!-~]{1,8} ordain:([a-z0-9][a-z0-9._-]{0,127}) (begin|end)[ \t]*\r?\n?")
"""A whole line that is a mark; by whatever sign comments began when it was written."""


class DamagedError(RefusedError):
    """Marks that don't belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Lines `begin` to `end`, both marks with them, counted from 0."""

    begin: int
    end: int


def with_block(text: bytes, *, name: str, comment: str, content: str) -> bytes:
    """Return `text` with the block `name` holding `content`: where it stands already, else at the end.

    Raises:
        DamagedError: its marks are damaged; the message ends in the line.
        RefusedError: a line of `content` is a mark itself.
    """
    lines = _lines(text)
    span = _find(lines, name)
    newline = _newline(lines[span.begin] if span else text[: text.rfind(b"\n") + 1])
    inner = [line.removesuffix("\r").encode() for line in content.removesuffix("\n").split("\n")] if content else []
    if any(_MARK.fullmatch(line) for line in inner):
        message = f"block {name}: a line of its content is a mark of ordain's itself"
        raise RefusedError(message)
    wanted = [f"{comment} ordain:{name} begin".encode(), *inner, f"{comment} ordain:{name} end".encode()]
    block = [line + newline for line in wanted]
    if span is not None:
        if not lines[span.end].endswith(b"\n"):
            block[-1] = wanted[-1]
        return b"".join([*lines[: span.begin], *block, *lines[span.end + 1 :]])
    if text and not text.endswith(b"\n"):
        return text + newline + b"".join(block)[: -len(newline)]
    return text + b"".join(block)


def without_block(text: bytes, *, name: str) -> bytes:
    """Return `text` without the block `name`, as it was before `with_block`; raise `DamagedError` if its marks are damaged."""
    lines = _lines(text)
    span = _find(lines, name)
    if span is None:
        return text
    before, after = b"".join(lines[: span.begin]), b"".join(lines[span.end + 1 :])
    if not lines[span.end].endswith(b"\n"):
        before = before.removesuffix(_newline(lines[span.begin]))
    return before + after


def _lines(text: bytes) -> list[bytes]:
    """Return the lines of a text with their ends; only a line feed ends one."""
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _newline(line: bytes) -> bytes:
    return b"\r\n" if line.endswith(b"\r\n") else b"\n"


def _marks(lines: list[bytes]) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines):
        if b" ordain:" in line and (match := _MARK.fullmatch(line)):
            yield number, match[1].decode(), match[2].decode()


def _find(lines: list[bytes], name: str) -> _Span | None:
    """Return where the block `name` stands, None if it does not."""
    span, opened = None, None
    for number, whose, which in _marks(lines):
        if opened is not None and (whose, which) != (name, "end"):
            raise _damaged(name, f"begins at line {opened + 1}, but line {number + 1} is not its end")
        if whose != name:
            continue
        if which == "begin":
            if span is not None:
                raise _damaged(name, f"stands there twice, again at line {number + 1}")
            opened = number
        elif opened is None:
            raise _damaged(name, f"ends at line {number + 1} without a beginning")
        else:
            span, opened = _Span(begin=opened, end=number), None
    if opened is not None:
        raise _damaged(name, f"begins at line {opened + 1} and has no end")
    return span


def _damaged(name: str, how: str) -> DamagedError:
    return DamagedError(f"block {name} {how}: put its marks right, or take them out, by hand")
