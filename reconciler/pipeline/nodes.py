"""YAML composed to nodes that know their lines, by ruamel.yaml's parser: the reading that counts.

Values follow the core schema of YAML 1.2, so dates, `yes` and `1_000` are text. Refused, because readers disagree about
them or they hide what a reviewer should see: tags, directives, merge keys, duplicate keys, keys that are not text,
numbers past 64 bits, NaN and infinity, aliases of what is not finished. https://yaml.org/spec/1.2.2/#103-core-schema
"""

import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from reconciler.pipeline.syntax import explained
from reconciler.printable import clipped

DOCUMENTS_LIMIT = 100
"""Documents of one file: more is generated, and one file is one unit of acceptance."""
DEPTH_LIMIT = 64
"""Collections within collections: no manifest needs ten, and every reader can follow this many."""
TOO_DEEP = f"nested more than {DEPTH_LIMIT} deep"
NODES_LIMIT = 100_000
"""Values and keys of one file after aliases are followed: stops alias bombs before anybody walks into one."""
SLOW_LIMIT = 128 * 1024
"""Characters that ruamel.yaml is given, at up to 3 microseconds each: longer texts must be written so that yaml-rs reads them."""
SLOW_NODES_LIMIT = 10_000
"""Values and keys that it is asked for, at 40 microseconds each: ten times the largest manifest that people wrote."""
INTEGER_LIMIT = 2**63
"""Integers are signed 64-bit: what JSON readers on both sides can hold."""
MERGE_KEY = "<<"
SHOWN = 80
"""Characters of what stands there that a message repeats."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SURROGATE = re.compile("[\ud800-\udfff]")


class ReadingRefused(Exception):  # noqa: N818 - a refusal, as everywhere here
    """A text that is not read: `code` is `yaml/<what>`; line and column count from 1, documents from 0."""

    def __init__(self, code: str, message: str, *, remedy: str = "", document: int = 0, line: int = 1, column: int = 1) -> None:
        """Keep what is wrong, where and what to do."""
        super().__init__(message)
        self.code, self.remedy, self.document, self.line, self.column = code, remedy, document, line, column


@dataclass(slots=True, kw_only=True)
class Node:
    """A value and where it stands: line and column from 1, `start` and `end` in characters of the text.

    `items` are (key, value) nodes of a mapping by key; `parts` the nodes of a list; `style` is that of a scalar.
    """

    value: Any
    line: int
    column: int
    start: int
    end: int
    style: str = ""
    items: "dict[str, tuple[Node, Node]]" = field(default_factory=dict)
    parts: "list[Node]" = field(default_factory=list)


def compose(text: str, *, patiently: bool = False) -> list[Node]:
    """Return the root node of each document; an empty document's value is None.

    It takes at most half a second, or with `patiently` as long as the largest file takes: for want of a faster reader.

    Raises:
        ReadingRefused: not YAML, or something in it that is refused here, or too long for this reader (`yaml/unusual`).
    """
    composer = _Composer(NODES_LIMIT if patiently else SLOW_NODES_LIMIT)
    part = text if patiently else _beginning(text)
    try:
        _feed(composer, part)
    except ReadingRefused as refusal:
        if part is not text and refusal.code == "yaml/syntax":  # where it was cut, or caused by that
            raise composer.too_long() from refusal
        raise
    if part is not text:
        raise composer.too_long()
    return composer.roots


def outline(text: str) -> list[Node]:
    """Return the nodes of a text that is known to be YAML, without those that are past the limits of `compose`: for positions."""
    composer = _Composer(SLOW_NODES_LIMIT)
    with suppress(ReadingRefused):
        _feed(composer, _beginning(text))
    return composer.so_far()


def _beginning(text: str) -> str:
    """Return what ruamel.yaml is given of a text: all of it, or the lines within the limit."""
    return text if len(text) <= SLOW_LIMIT else text[: text.rfind("\n", 0, SLOW_LIMIT) + 1 or SLOW_LIMIT]


def _feed(composer: "_Composer", text: str) -> None:
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            composer.take(event)
    except MarkedYAMLError as error:
        raise _syntax(error, composer.document) from error
    except YAMLError as error:
        raise ReadingRefused("yaml/syntax", f"not YAML: {str(error).splitlines()[0]}", document=max(composer.document, 0)) from error
    except (ValueError, OverflowError) as error:  # numbers of a million digits in %YAML, escapes of no character
        message = "not YAML: a directive or an escape holds a number that is none"
        raise ReadingRefused("yaml/syntax", message, document=max(composer.document, 0)) from error


def too_many() -> ReadingRefused:
    """Return the refusal of a file with too many values."""
    message = f"more than {NODES_LIMIT} values, or {DEPTH_LIMIT} levels, once aliases are followed"
    return ReadingRefused("yaml/nodes", message, remedy="split the file, and write out what aliases repeat")


def _syntax(error: MarkedYAMLError, document: int) -> ReadingRefused:
    said = explained(error)
    return ReadingRefused("yaml/syntax", said.message, remedy=said.remedy, document=max(document, 0), line=said.line, column=said.column)


class _Composer:
    """Builds nodes from one event after another, without recursion: depth is bounded before it costs anything."""

    def __init__(self, limit: int) -> None:
        self.roots: list[Node] = []
        self.document = -1
        self._room = limit
        self._limit = limit
        self._line = 0
        self._open: list[Node] = []
        self._keys: list[Node | None] = []
        self._anchors: dict[str, Node] = {}
        self._unfinished: list[str | None] = []

    def take(self, event: Any) -> None:
        """Go on by one event of the parser."""
        if isinstance(event, NodeEvent):
            self._count(event)
        if isinstance(event, DocumentStartEvent):
            self._begin(event)
        elif isinstance(event, AliasEvent):
            self._add(self._alias(event))
        elif isinstance(event, ScalarEvent):
            self._refuse_tag(event)
            self._remember(event.anchor, self._scalar(event))
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self._refuse_tag(event)
            self._enter(event, {} if isinstance(event, MappingStartEvent) else [])
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self._leave(event)

    def so_far(self) -> list[Node]:
        """Return the documents, and of the one that is not finished what there is of it."""
        while self._open:
            node = self._open.pop()
            self._keys.pop()
            self._add(node)
        return self.roots

    def too_long(self) -> ReadingRefused:
        """Return the refusal of a text that would take too long."""
        message = f"no plain YAML, and longer than the {SLOW_LIMIT} characters or {SLOW_NODES_LIMIT} values that such a text may have"
        remedy = "see that it is YAML; leave out tabs, tags, anchors, aliases and merge keys; or split the file"
        return self._refusal("unusual", message, remedy, self._line + 1, 1)

    def _count(self, event: NodeEvent) -> None:
        self._room -= 1
        self._line = event.start_mark.line
        if self._room < 0:
            raise self.too_long() if self._limit < NODES_LIMIT else too_many()

    def _begin(self, event: DocumentStartEvent) -> None:
        self.document += 1
        self._anchors = {}
        if event.version or event.tags:
            raise self._refused("directive", "YAML directives (%YAML, %TAG) are not read", event, "leave the line out")
        if self.document >= DOCUMENTS_LIMIT:
            raise self._refused("documents", f"more than {DOCUMENTS_LIMIT} documents in one file", event, "split the file")

    def _scalar(self, event: ScalarEvent) -> Node:
        text: str = event.value
        value = text if event.style else self._resolved(event, text)
        if isinstance(value, str) and _SURROGATE.search(value):
            remedy = r"write the character itself, or \U and 8 digits"
            raise self._refused("surrogate", "half of a surrogate pair is no character", event, remedy)
        return _node(event, value, style=event.style or "")

    def _resolved(self, event: ScalarEvent, text: str) -> Any:
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if _INTEGER.fullmatch(text) or _OTHER_BASE.fullmatch(text):
            return self._integer(event, text)
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            return self._float(event, text)
        return text

    def _integer(self, event: ScalarEvent, text: str) -> int:
        digits_of_64_bits = 66
        value = int(text, 0) if text.startswith(("0o", "0x")) and len(text) <= digits_of_64_bits else None
        if value is None and len(text.lstrip("+-0")) <= digits_of_64_bits and not text.startswith(("0o", "0x")):
            value = int(text)
        if value is None or not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
            raise self._refused("number", f"{clipped(text, SHOWN)} does not fit into 64 bits", event, "put it in quotes if it is text")
        return value

    def _float(self, event: ScalarEvent, text: str) -> float:
        value = math.inf if _NOT_FINITE.fullmatch(text) else float(text)
        if not math.isfinite(value):
            raise self._refused("number", f"{clipped(text, SHOWN)} is no finite number", event, "put it in quotes if it is text")
        return value

    def _enter(self, event: Any, value: Any) -> None:
        if len(self._open) >= DEPTH_LIMIT:
            raise self._refused("depth", TOO_DEEP, event, "flatten it")
        self._open.append(_node(event, value))
        self._keys.append(None)
        self._unfinished.append(event.anchor)
        self._anchors.pop(event.anchor, None)

    def _leave(self, event: Any) -> None:
        node = self._open.pop()
        self._keys.pop()
        node.end = event.end_mark.index
        self._remember(self._unfinished.pop(), node)

    def _alias(self, event: AliasEvent) -> Node:
        target = self._anchors.get(event.anchor)
        if target is None or event.anchor in self._unfinished:
            remedy = f'put it in quotes if it is text ("*{event.anchor}"), else write the value out'
            raise self._refused("alias", f"*{event.anchor} names nothing that is finished before it", event, remedy)
        mark = event.start_mark
        start = {"line": mark.line + 1, "column": mark.column + 1, "start": mark.index, "end": event.end_mark.index}
        return Node(value=target.value, style=target.style, items=target.items, parts=target.parts, **start)

    def _remember(self, anchor: str | None, node: Node) -> None:
        if anchor:
            self._anchors[anchor] = node
        self._add(node)

    def _add(self, node: Node) -> None:
        if not self._open:
            self.roots.append(node)
        elif isinstance(self._open[-1].value, list):
            self._open[-1].value.append(node.value)
            self._open[-1].parts.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = self._checked_key(node)
        else:
            key, self._keys[-1] = self._keys[-1], None
            if node.start == node.end and not node.style:  # an empty value ends where the next line begins: its key is what people see
                node.line, node.column = key.line, key.column
            self._open[-1].value[key.value] = node.value
            self._open[-1].items[key.value] = (key, node)

    def _checked_key(self, node: Node) -> Node:
        key = node.value
        if not isinstance(key, str):
            shown = "a list or mapping" if isinstance(key, (list, dict)) else clipped(repr(key), SHOWN)
            raise self._refused_at("key", f"a key is text, and this is {shown}", node, "put the key in quotes")
        if key == MERGE_KEY:
            message = "merge keys (<<) are not read: other readers see them differently"
            raise self._refused_at("merge-key", message, node, "write the fields out")
        if key in self._open[-1].items:
            first = self._open[-1].items[key][0].line
            raise self._refused_at(
                "duplicate-key", f"{clipped(repr(key), SHOWN)} stands here and in line {first}", node, "leave one of them out"
            )
        return node

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            message = f"the tag {clipped(str(event.tag), SHOWN)} is not read: values have no types of their own"
            raise self._refused("tag", message, event, "leave the tag out")

    def _refused(self, code: str, message: str, event: Any, remedy: str) -> ReadingRefused:
        mark = event.start_mark
        return self._refusal(code, message, remedy, mark.line + 1, mark.column + 1)

    def _refused_at(self, code: str, message: str, node: Node, remedy: str) -> ReadingRefused:
        return self._refusal(code, message, remedy, node.line, node.column)

    def _refusal(self, code: str, message: str, remedy: str, line: int, column: int) -> ReadingRefused:
        return ReadingRefused(f"yaml/{code}", message, remedy=remedy, document=max(self.document, 0), line=line, column=column)


def _node(event: Any, value: Any, *, style: str = "") -> Node:
    start, end = event.start_mark, event.end_mark
    return Node(value=value, line=start.line + 1, column=start.column + 1, start=start.index, end=end.index, style=style)
