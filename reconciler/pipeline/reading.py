"""YAML read to plain values, in one reading only.

yaml-rs is forty times faster than ruamel.yaml and reads nearly everything as it does. So yaml-rs reads ordinary texts; what is
written in an unusual way, what it refuses, and what it reads to a value that is refused, is read by `nodes`, whose word counts.
Without yaml-rs everything is. A property test holds the two to one reading.
"""

import importlib
import importlib.util
import math
import re
from types import ModuleType
from typing import Any

from reconciler.pipeline import nodes
from reconciler.pipeline.nodes import ReadingRefused
from reconciler.pipeline.syntax import OTHERWISE
from reconciler.printable import clipped

FAST: ModuleType | None = importlib.import_module("yaml_rs") if importlib.util.find_spec("yaml_rs") else None
"""yaml-rs, where it is installed."""

SIZE_LIMIT = 1024 * 1024
"""Bytes of one file: manifests are written by people, and sources travel in bundles."""
BYTE_ORDER_MARK = "\ufeff"

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML does not allow, and the three line ends (U+0085, U+2028, U+2029) that only some readers see."""

_BEGIN = r"[\n\[{,:?-][ ]*"
"""Where a value may begin; in the middle of a text the same signs mean nothing."""
_DEEP = 200
"""Columns of indentation past which yaml-rs is not asked: it recurses without a limit, and ends the process by overflow."""
_SUSPICIOUS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("\t",), "\t"),  # readers disagree where tabs may stand
    (("\r",), r"\r(?!\n)"),
    (("\n%",), "\n%"),  # directives
    (("\n...",), r"\n\.\.\."),  # document ends
    ((" " * _DEEP,), rf"\n[ ]{{{_DEEP}}}"),
    (("- -", "-  "), r"-[ ]+-[ ]+-[ ]+-"),  # lists begun on one line: each is a level
    (("- ?", "- :", "-  "), r"-[ ]+[?:](?:[ \r\n]|\Z)"),  # keys and values in lists, on lines of their own: levels too
    (("\n---",), r"\n---[ ]+[|>]"),  # text blocks that are documents: yaml-rs overlooks `---` in them
    ((":", "|", ">", "?"), r"[\n\[{,][ ]*[|>?:]"),  # signs that begin a text block, a key or a value, where none may begin
    ((":,", ":]", ":}"), r":[,\]}]"),  # colons that may end a key or belong to a text
    ((":[", ":{"), r":(?<![\"']:)[\[{]"),
    (("&", "*", "!"), _BEGIN + "[&*!]"),  # anchors, aliases, tags
    (("\\u",), r"\\u[dD][89a-fA-F]"),  # escaped surrogates
    (("0b", "0B", "0X", "0O"), r"0(?<![\w.]0)[bBXO]"),  # numbers in other schemas
    (("0x", "0o"), "0(?<=[-+]0)[xo]"),
)
"""What yaml-rs was seen to read otherwise than YAML or ruamel.yaml has it: parts without which a text is free of it, and its form.

Looking for a part costs a fiftieth of looking for a form, and most texts have few of them.
"""
_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*[ ]*(?:\#.*)?(?=\n|\Z)")
_BLANK_BELOW = re.compile(r"\Z|\n[ ]*(?:\r?\n|\Z|---)")
"""Text blocks that begin with a blank line, or are empty, in two steps: as one form, the time would grow with the square of a line."""
_NUMBER = re.compile(_BEGIN + r"[-+]?(?=[0-9._])[\w.+-]*")
"""What may be a number; one with an underscore is one in other schemas. Two steps for the same reason."""
_LONG_NUMBER = re.compile("[0-9]{20,}+")
_DIGITS = 1000
"""Digits of one number that yaml-rs is given in a large file: the time that it takes grows with their square."""
_NEVER_PLAIN = frozenset("|>@`%")
"""Signs with which no text begins unless it is quoted: within brackets yaml-rs takes them for text."""
_SEARCHES = tuple((signs, re.compile(form)) for signs, form in _SUSPICIOUS)
_SAID_AT = re.compile(r"YAML parse error at line ([0-9]{1,9}), column ([0-9]{1,9})")
_EXPLICIT_START = re.compile(r"(?:[ ]*(?:#[^\n]*)?\r?\n)*---(?:\s|\Z)")


def read(data: bytes, *, fast: ModuleType | None = FAST) -> list[Any]:
    """Return the value of each document, None for empty ones, without empty ones at the end.

    Values are str, int, float, bool, None, list and dict with text keys; what an alias names is one shared object.

    Raises:
        ReadingRefused: not UTF-8, not YAML, or more than the limits allow.
    """
    text = decode(data)
    usual = not _unusual(text)
    values = _quickly(text, fast) if fast is not None and usual else None
    return _trimmed(slowly(text, patiently=usual and fast is None) if values is None else values)


def _unusual(text: str) -> bool:
    text = "\n" + text
    if ("|" in text or ">" in text) and _odd_block(text):
        return True
    if "_" in text and any("_" in found[0] for found in _NUMBER.finditer(text)):
        return True
    if len(text) > nodes.SLOW_LIMIT and any(len(found[0]) > _DIGITS for found in _LONG_NUMBER.finditer(text)):
        return True
    for parts, form in _SEARCHES:
        for part in parts:
            if part in text:
                if form.search(text):
                    return True
                break
    return False


def _odd_block(text: str) -> bool:
    """Return whether a text block begins with a blank line, is empty, or may end without a line end."""
    return not text.endswith("\n") or any(_BLANK_BELOW.match(text, found.end()) for found in _BLOCK_HEADER.finditer(text))


def decode(data: bytes) -> str:
    """Return the text of a file; raise `ReadingRefused` where it is too large or no plain UTF-8."""
    if len(data) > SIZE_LIMIT:
        message = f"{len(data)} bytes, more than the {SIZE_LIMIT} that a file may have"
        raise ReadingRefused("yaml/size", message, remedy="split the file, or make large content an artifact")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = f"not UTF-8: byte {data[error.start]:#04x} at offset {error.start}"
        raise ReadingRefused("yaml/not-utf-8", message, remedy="save the file as UTF-8", **_place(data[: error.start].decode())) from error
    if text.startswith(BYTE_ORDER_MARK):
        message = "the file begins with a byte order mark"
        code = "yaml/byte-order-mark"
        raise ReadingRefused(code, message, remedy="save it as UTF-8 without one")
    if found := _UNPRINTABLE.search(text):
        message = f"the character U+{ord(found[0]):04X} may not stand in a manifest"
        remedy = f'leave it out, or write it as an escape in double quotes: "\\u{ord(found[0]):04X}"'
        raise ReadingRefused("yaml/character", message, remedy=remedy, **_place(text[: found.start()]))
    return text


def _place(before: str) -> dict[str, int]:
    return {"line": before.count("\n") + 1, "column": len(before) - (before.rfind("\n") + 1) + 1}


def _quickly(text: str, parser: ModuleType) -> list[Any] | None:
    """Return the values as yaml-rs reads them, None where it refuses the text or a value is not acceptable.

    yaml-rs answers a list of documents or the only one, which may be a list; a document put first makes it always several.
    """
    first = "--- 0\n" if _EXPLICIT_START.match(text) else "--- 0\n---\n"
    try:
        values: Any = parser.loads(first + text, parse_datetime=False)
    except ValueError as error:
        if len(text) > nodes.SLOW_LIMIT:
            raise _said(str(error), first.count("\n")) from error
        return None
    few = isinstance(values, list) and len(values) <= nodes.DOCUMENTS_LIMIT + 1
    return values[1:] if few and _acceptable(values[1:], certain=True) else None


def _said(message: str, above: int) -> ReadingRefused:
    """Return what yaml-rs says of a text that is too long to ask `nodes`; `above` are lines that were put before it."""
    found = _SAID_AT.match(message)
    line, column = (int(found[1]) - above, int(found[2])) if found else (1, 1)
    if "recursion limit" in message:
        return ReadingRefused("yaml/depth", nodes.TOO_DEEP, remedy="flatten it", line=max(line, 1), column=max(column, 1))
    why = clipped(message.rstrip().rpartition("\n")[2], nodes.SHOWN)
    return ReadingRefused("yaml/syntax", f"not YAML: {why}", remedy=OTHERWISE, line=max(line, 1), column=max(column, 1))


def _acceptable(values: list[Any], *, certain: bool) -> bool:
    """Return whether documents keep to the limits; what an alias repeats counts each time.

    With `certain`, whether each scalar that yaml-rs read is also what it seems, and may stand in a manifest. This loop
    sees every value of a repository, so it calls nothing that it needn't.

    Raises:
        ReadingRefused: more values than the limit, whoever reads them.
    """
    count = 0
    pending: list[tuple[Any, int]] = [(values, 0)]
    while pending and count <= nodes.NODES_LIMIT:
        container, depth = pending.pop()
        if type(container) is dict:
            for key in container:
                if type(key) is not str or key == nodes.MERGE_KEY:
                    return False
            count += len(container)
            container = container.values()
        count += len(container)
        for item in container:
            kind = type(item)
            if kind is dict or kind is list:
                if depth >= nodes.DEPTH_LIMIT:
                    return False
                pending.append((item, depth + 1))
            elif certain and (item[:1] in _NEVER_PLAIN if kind is str else not _certain(item)):
                return False
    if count > nodes.NODES_LIMIT:
        raise nodes.too_many()
    return True


def _certain(number: Any) -> bool:
    """Return whether a scalar other than a text may stand in a manifest."""
    if isinstance(number, float):
        return math.isfinite(number)
    return number is None or -nodes.INTEGER_LIMIT <= number < nodes.INTEGER_LIMIT


def slowly(text: str, *, patiently: bool = False) -> list[Any]:
    """Return the values as `nodes` reads them; raise `ReadingRefused` where they are refused."""
    values = [root.value for root in nodes.compose(text, patiently=patiently)]
    if not _acceptable(values, certain=False):
        raise nodes.too_many()
    return values


def _trimmed(values: list[Any]) -> list[Any]:
    while values and values[-1] is None:
        values = values[:-1]
    return values
