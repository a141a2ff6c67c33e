"""Values set in a manifest's text, everything else kept byte for byte: comments, quotes, order, line ends, what stands beside.

A YAML document that is read and dumped again comes out as somebody else's. So nothing is dumped: ruamel.yaml says where a
value stands (`pipeline.nodes`), and just that piece of text is replaced, or a line put in. Afterwards the file is read again,
and it must say what was asked for and nothing else, or nothing is written and a person is asked to do it.
"""

import copy
import json
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.protocol import durable
from agent.protocol.errors import InputError
from reconciler.pipeline import nodes, reading
from reconciler.pipeline.finding import Pointer
from reconciler.pipeline.nodes import Node, ReadingRefused

INDENT = 2
_WORD = re.compile(r"[A-Za-z][A-Za-z_./-]*")
"""Text that needs no quotes wherever it stands, unless it reads as something else, such as `yes`."""
_REST_OF_LINE = re.compile(r"[ \t]*(?:,[ \t]*)?(?:#[^\r\n]*)?(?=\r?\n|\Z)")

_MARK = re.compile(r"\|[-+]?(?=[ \t]|\Z)")
"""How a block begins whose indentation is that of its first line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A value that a pointer into a document (counted from 0) should have: text, a number, a truth value, or a mapping of them.

    A field that isn't there yet is put after the first of `after` that is, else after the last one. With `gone` there is none
    afterwards, whatever the value.
    """

    document: int
    pointer: Pointer
    value: Any
    after: tuple[str, ...] = ()
    gone: bool = False


class _ByHand(Exception):  # noqa: N818 - it says what is left to do
    """A place that can't be edited without touching more than was asked for."""


def edited(data: bytes, edits: Sequence[Edit], *, path: str) -> bytes:
    """Return the file with the edits made, one after the other; `path` names it in errors.

    Raises:
        InputError: it can't be read, or an edit can't be made without changing more than it should; the message says what to do.
    """
    try:
        text = reading.decode(data)
        for edit in edits:
            text = _made(text, edit)
    except ReadingRefused as refused:
        message = f"{path}:{refused.line}:{refused.column}: {refused}"
        raise InputError(message) from refused
    except _ByHand as problem:
        wanted = ", ".join(f"{'.'.join(map(str, edit.pointer))}{' gone' if edit.gone else f' = {edit.value!r}'}" for edit in edits)
        message = f"{path}: {problem}; edit it by hand: {wanted}"
        raise InputError(message) from problem
    return text.encode()


def write(path: Path, data: bytes) -> None:
    """Put a file in the place of the old one, whole and with its permissions."""
    durable.replace(path, data, mode=stat.S_IMODE(path.stat().st_mode))


def _made(text: str, edit: Edit) -> str:
    roots = nodes.compose(text)
    if edit.document >= len(roots):
        problem = f"there is no document {edit.document + 1}"
        raise _ByHand(problem)
    *above, field = edit.pointer
    parent = roots[edit.document]
    for part in above:
        parent = _child(text, parent, part)
    expected = copy.deepcopy([root.value for root in roots])
    if edit.gone:
        changed = _removed(text, parent, str(field))
        _drop(expected[edit.document], edit.pointer)
    else:
        changed = _replaced(text, parent, field, edit.value) if _exists(parent, field) else _inserted(text, parent, str(field), edit)
        _set(expected[edit.document], edit.pointer, edit.value)
    if [root.value for root in nodes.compose(changed)] != expected:
        problem = "the place is written in a way that can't be edited safely"
        raise _ByHand(problem)
    return changed


def _set(value: Any, pointer: Pointer, new: Any) -> None:
    *above, field = pointer
    for part in above:
        value = value[part]
    value[field] = new


def _drop(value: Any, pointer: Pointer) -> None:
    *above, field = pointer
    for part in above:
        value = value[part]
    value.pop(field, None)


def _exists(parent: Node, field: str | int) -> bool:
    return field in parent.items if isinstance(field, str) else field < len(parent.parts)


def _child(text: str, parent: Node, part: str | int) -> Node:
    if not _exists(parent, part):
        problem = f"there is no {part!r} where it should be"
        raise _ByHand(problem)
    child = parent.items[part][1] if isinstance(part, str) else parent.parts[part]
    if text[child.start : child.start + 1] in ("*", "&"):
        problem = f"line {child.line} has an anchor or an alias of one, and other places may share it"
        raise _ByHand(problem)
    return child


def _is_flow(text: str, node: Node) -> bool:
    return text[node.start : node.start + 1] in ("{", "[")


def _replaced(text: str, parent: Node, field: str | int, value: Any) -> str:
    """Return the text with another value in the place of an old one."""
    old = _child(text, parent, field)
    if isinstance(old.value, (dict, list)) and not _is_flow(text, old):
        problem = f"line {old.line} begins a block of several lines"
        raise _ByHand(problem)
    if old.style == "|" and isinstance(value, str) and (block := _literal_block(text[old.start : old.end], value)) is not None:
        return text[: old.start] + block + text[old.end :]
    written = _flow(value, style=old.style, inside=_is_flow(text, parent))
    if old.start == old.end and isinstance(field, str):  # `key:` and nothing
        place = text.find(":", parent.items[field][0].end) + 1
        return f"{text[:place]} {written}{text[place:]}"
    end = "\n" if text[: old.end].endswith("\n") else ""
    return text[: old.start] + written + end + text[old.end :]


def _literal_block(old: str, value: str) -> str | None:
    """Return a text of several lines as a block indented as the old one, with what stands beside its mark; None where it can't be one."""
    head, feed, body = old.partition("\n")
    first = next((line for line in body.split("\n") if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip(" "))]
    mark = _MARK.match(head)
    if mark is None or not value.strip() or not indent or value.startswith((" ", "\n")) or "\r" in old + value:
        return None
    keep = "+" if value.endswith("\n\n") else "" if value.endswith("\n") else "-"
    lines = value.removesuffix("\n").split("\n")
    ending = "\n" if old.endswith("\n") else ""
    return f"|{keep}{head[mark.end() :]}{feed}" + "\n".join(f"{indent}{line}" if line else "" for line in lines) + ending


def _inserted(text: str, parent: Node, field: str, edit: Edit) -> str:
    """Return the text with a new field in a mapping."""
    if not isinstance(parent.value, dict):
        problem = f"line {parent.line} is no mapping"
        raise _ByHand(problem)
    if _is_flow(text, parent):
        return _inserted_in_flow(text, parent, field, edit)
    beside = _beside(text, parent, edit.after)
    place = _line_end(text, beside[1])
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = beside[0].column - 1
    lines = _block(field, edit.value, indent)
    return text[:place] + "".join(f"{newline}{line}" for line in lines) + text[place:]


def _removed(text: str, parent: Node, field: str) -> str:
    """Return the text without a field of a mapping: of one in braces just that, else the line that it stands on."""
    if field not in parent.items:
        return text
    key, value = parent.items[field]
    names = list(parent.items)
    place = names.index(field)
    if not _is_flow(text, parent):
        start, end = text.rfind("\n", 0, key.start) + 1, _line_end(text, value)
        return text[:start] + text[end:].removeprefix("\r").removeprefix("\n")
    if place + 1 < len(names):
        return text[: key.start] + text[parent.items[names[place + 1]][0].start :]
    start = parent.items[names[place - 1]][1].end if place else key.start
    return text[:start] + text[value.end :]


def _inserted_in_flow(text: str, parent: Node, field: str, edit: Edit) -> str:
    written = f"{field}: {_flow(edit.value, inside=True)}"
    named = [name for name in edit.after if name in parent.items] or list(parent.items)[-1:]
    if not named:
        return f"{text[: parent.start + 1]}{written}{text[parent.start + 1 :]}"
    place = parent.items[named[0]][1].end
    return f"{text[:place]}, {written}{text[place:]}"


def _beside(text: str, parent: Node, after: tuple[str, ...]) -> tuple[Node, Node]:
    """Return key and value of a field that ends with its line, after which a line may be put."""
    names = [name for name in after if name in parent.items] + list(reversed(parent.items))
    for name in names:
        key, value = parent.items[name]
        plain = value.style not in ("|", ">") and (not isinstance(value.value, (dict, list)) or _is_flow(text, value))
        if plain and value.end > value.start and _REST_OF_LINE.match(text, value.end):
            return key, value
    problem = f"the mapping in line {parent.line} has no field of one line"
    raise _ByHand(problem)


def _line_end(text: str, value: Node) -> int:
    found = _REST_OF_LINE.match(text, value.end)
    return found.end() if found else value.end


def _block(field: str, value: Any, indent: int) -> list[str]:
    """Return the lines of a field in a block: several for a mapping of mappings."""
    if not isinstance(value, dict) or not any(isinstance(item, dict) for item in value.values()):
        return [f"{' ' * indent}{field}: {_flow(value)}"]
    inner = [f"{' ' * (indent + INDENT)}{name}: {_flow(item)}" for name, item in value.items()]
    return [f"{' ' * indent}{field}:", *inner]


def _flow(value: Any, *, style: str = "", inside: bool = False) -> str:
    """Return a value on one line, a text in the quotes that it had before."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(item, inside=True)}" for name, item in value.items()) + "}"
    if not isinstance(value, str):
        return json.dumps(value)
    if style == "'" and "'" not in value and value.isprintable():
        return f"'{value}'"
    if style == "" and _plain(value, inside=inside):
        return value
    return json.dumps(value, ensure_ascii=False)


def _plain(value: str, *, inside: bool) -> bool:
    if not _WORD.fullmatch(value) or (inside and not value.isalpha()):
        return False
    read: Any = nodes.compose(value)[0].value
    return bool(read == value)
