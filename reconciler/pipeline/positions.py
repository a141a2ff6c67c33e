"""Lines and columns of findings, looked up only for those that are shown: positions cost twenty times what values do."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from reconciler.pipeline import nodes, reading
from reconciler.pipeline.finding import Finding, Place, Pointer, Verdict, Waived
from reconciler.pipeline.nodes import Node, ReadingRefused

CACHED_FILES = 4
"""Composed files kept: findings are shown file by file, so a few are enough, and a large file weighs a hundred times its text."""
_SNIPPET = 40
_LINE_END = re.compile(r"\r\n|\r|\n")


def pointer_text(pointer: Pointer) -> str:
    """Return a pointer as JSON pointer text (RFC 6901): `/spec/files/0`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)


def locate(data: bytes, place: Place) -> tuple[int, int, str]:
    """Return line and column, from 1, and the text of that line.

    A place that does not exist in `data` is that of its nearest ancestor that does; in a file that is not YAML it is the
    line that the place itself states, or the first.
    """
    found = find(data, place)
    return found.line, found.column, _line(data, found.line)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a place is: line and column, from 1, and its name, with list items by theirs: `.spec.artifacts[otelcol].url`."""

    line: int
    column: int
    name: str


Finder = Callable[[bytes, Place], Found]
"""What finds a place in a file's bytes: `find`, or what remembers its results."""


def find(data: bytes, place: Place) -> Found:
    """Find a place in a file, as `locate` says."""
    line, column = (place.line, place.column or 1) if place.line is not None else _position(data, place)
    return Found(line, column, _named(data, place))


def _line(data: bytes, number: int) -> str:
    lines = _lines(data)
    return lines[number - 1] if number <= len(lines) else ""


@lru_cache(maxsize=1)
def _lines(data: bytes) -> list[str]:
    """Return the lines of as much of a file as may be read; the last one is kept, since findings are shown file by file."""
    return _LINE_END.split(data[: reading.SIZE_LIMIT].decode(errors="replace"))


def _position(data: bytes, place: Place) -> tuple[int, int]:
    composed = _composed(data)
    if composed is None or place.document >= len(composed[1]):
        return 1, 1
    text, roots = composed
    key, node, found = _descend(roots[place.document], place.pointer)
    if place.at_key and key is not None and found:
        return key.line, key.column
    if place.row is not None and found and isinstance(node.value, str):
        return _row(data, node, place.row)
    if place.offset is not None and found and isinstance(node.value, str):
        return _inside(text, node, place.offset)
    return node.line, node.column


@lru_cache(maxsize=CACHED_FILES)
def _composed(data: bytes) -> tuple[str, list[Node]] | None:
    try:
        text = reading.decode(data)
        return text, nodes.outline(text)
    except ReadingRefused:
        return None


def _named(data: bytes, place: Place) -> str:
    """Return a place with list items by name: `spec.artifacts[otelcol].url`, the same wherever the item stands in its list."""
    composed = _composed(data) if place.pointer else None
    node = composed[1][place.document] if composed is not None and place.document < len(composed[1]) else None
    named = ""
    for part in place.pointer:
        node = _below(node, part)
        named += f"[{_name_of(node) or part}]" if isinstance(part, int) else f".{part}"
    return named


def _below(node: Node | None, part: str | int) -> Node | None:
    if node is None:
        return None
    if isinstance(part, int):
        return node.parts[part] if part < len(node.parts) else None
    return node.items[part][1] if part in node.items else None


def _name_of(node: Node | None) -> str:
    for key in ("name", "path") if node is not None else ():
        value = node.items[key][1].value if node is not None and key in node.items else None
        if isinstance(value, str):
            return value
    return ""


def _descend(root: Node, pointer: Pointer) -> tuple[Node | None, Node, bool]:
    """Return the last key and the node that exist along a pointer, and whether that is all of it."""
    key, node = None, root
    for part in pointer:
        if isinstance(part, str) and part in node.items:
            key, node = node.items[part]
        elif isinstance(part, int) and part < len(node.parts):
            key, node = None, node.parts[part]
        else:
            return key, node, False
    return key, node, True


def _row(data: bytes, node: Node, row: int) -> tuple[int, int]:
    """Return the position of a line of a scalar; where it does not stand as it is written (folded, in quotes, an alias), the scalar's."""
    wanted = node.value.split("\n")[row : row + 1] if node.style == "|" else []
    line = node.line + 1 + row
    written = _line(data, line)
    if not wanted or not written.endswith(wanted[0]) or written.removesuffix(wanted[0]).strip(" "):
        return node.line, node.column
    return line, len(written) - len(wanted[0]) + 1


def _inside(text: str, node: Node, offset: int) -> tuple[int, int]:
    """Return the position of a character of a scalar: exact in literal blocks and in what stands as it is written."""
    raw = text[node.start : node.end]
    if node.style == "|":
        return _inside_literal(raw, node, offset)
    quotes = 1 if node.style in ("'", '"') else 0
    if raw[quotes : len(raw) - quotes] == node.value:
        return _position_of(text, node.start + quotes + offset)
    snippet = (node.value[offset:].split() or [""])[0][:_SNIPPET]
    earlier = node.value[:offset].count(snippet) if snippet else 0
    start = node.start
    for _ in range(earlier + 1):
        found = text.find(snippet, start, node.end) if snippet else -1
        if found < 0:
            return node.line, node.column
        start = found + 1
    return _position_of(text, found)


def _inside_literal(raw: str, node: Node, offset: int) -> tuple[int, int]:
    header, *content = _LINE_END.split(raw)
    before = node.value[:offset]
    stated = re.search(r"[1-9]", header)
    first = next((line for line in content if line.strip()), "")
    shown = next((line for line in node.value.split("\n") if line.strip()), "")
    indent = len(first) - len(shown) if stated else len(first) - len(first.lstrip(" "))
    row = before.count("\n")
    return node.line + 1 + row, indent + len(before) - (before.rfind("\n") + 1) + 1


def _position_of(text: str, index: int) -> tuple[int, int]:
    lines = _LINE_END.split(text[:index])
    return len(lines), len(lines[-1]) + 1


def verdict(
    finding: Finding,
    read: Callable[[str], bytes],
    *,
    standing: bool = False,
    blocks_standing: bool = False,
    waived: Waived | None = None,
    notes: tuple[str, ...] = (),
    finder: Finder = find,
) -> Verdict:
    """Return a finding as it is shown; `read` gives a file's bytes or raises `KeyError`.

    What is said of a file that is not there is said of its beginning. The line's text is left out where it may hold a secret.
    """
    try:
        data = read(finding.place.file)
        found = finder(data, finding.place)
    except KeyError:
        data, found = b"", Found(1, 1, _named(b"", finding.place))
    return Verdict(
        action=finding.action,
        rule=finding.rule,
        code=finding.code,
        message=finding.message,
        remedy=finding.remedy,
        file=finding.place.file,
        line=found.line,
        column=found.column,
        pointer=pointer_text(finding.place.pointer),
        object=finding.object,
        standing=standing,
        source_line="" if finding.sensitive else _line(data, found.line),
        fingerprint=_fingerprint(finding, found.name),
        blocks_standing=blocks_standing,
        waived=waived,
        notes=notes,
        becomes=finding.becomes,
    )


def _fingerprint(finding: Finding, place: str) -> str:
    """Return what a finding is known by from one commit to the next; lines and list indexes have no part in it."""
    known_by = (finding.rule, finding.code, str(finding.object or finding.place.file), place, finding.value or finding.message)
    return hashlib.sha256(json.dumps(known_by).encode()).hexdigest()
