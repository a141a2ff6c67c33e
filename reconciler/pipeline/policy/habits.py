"""Habits of Rego that compile and still mislead, found in what OPA parsed; regal knows more of them.

Each check takes the parsed file, and yields places with what to do instead.
"""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.protocol.errors import RetryError
from reconciler.pipeline.finding import Finding, Place

PARSE_SECONDS = 30
WORKERS = 2
"""Files that are parsed at once: OPA parses one a process."""
_Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    """A file as OPA reads it."""

    file: str
    text: str
    tree: _Node

    @property
    def is_test(self) -> bool:
        return self.file.endswith("_test.rego")


_Found = tuple[str, str, str, int, int]
"""Which check, what is wrong, what to do, line, column."""


def found(texts: Mapping[str, bytes], opa: Path) -> dict[str, list[Finding]]:
    """Return what is found in each file; raise `RetryError` if OPA can't be run."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="parse") as workers:
        parsed = list(workers.map(lambda one: _parse(one[0], one[1], opa), texts.items()))
    return {one.file: [_finding(one.file, each) for check in CHECKS for each in check(one)] for one in parsed}


def _parse(file: str, content: bytes, opa: Path) -> _Parsed:
    command = [str(opa), "parse", "--format=json", "--json-include=locations", "/dev/stdin"]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=PARSE_SECONDS, check=True)
        tree = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        message = f"opa parse can't read {file}: {error}; `ordain policy test` shows the line"
        raise RetryError(message) from error
    return _Parsed(file=file, text=content.decode(errors="replace"), tree=tree)


def _finding(file: str, one: _Found) -> Finding:
    check, message, remedy, line, column = one
    place = Place(file=file, line=line, column=column)
    return Finding(action="deny", rule="policy/lint", code=f"lint/{check}", message=message, place=place, remedy=remedy)


def _unequal_in_loops(parsed: _Parsed) -> Iterator[_Found]:
    """`!=` on a wildcard is true where any item differs, and is meant where none is equal."""
    for node in nodes(parsed.tree.get("rules", ())):
        if _operator(node) == "neq" and any(_is_wildcard(part) for part in nodes(node["terms"])):
            message = "!= in a loop is true as soon as any item differs"
            yield "unequal-in-loop", message, "write `not … in …`, or a helper that finds the equal one, and negate that", *_at(node)


def _deny_otherwise(parsed: _Parsed) -> Iterator[_Found]:
    """What reports is always `deny contains … if`: one shape, which the router can count on."""
    for rule in () if parsed.is_test else parsed.tree.get("rules", ()):
        head = rule["head"]
        if head.get("name", "") != "deny" and _first(head) != "deny":
            continue
        remedy = "write `deny contains result.at(rego.metadata.chain(), path, message) if { … }`"
        text = _text(rule)
        if not text.startswith("deny contains"):
            yield "deny", "`deny` is defined otherwise than by `contains`", remedy, *_at(rule)
        elif " if " not in text.partition("\n")[0] and not text.rstrip().endswith("}"):
            yield "deny", "it reports unconditionally", remedy, *_at(rule)
        elif not _reports(text):
            yield "deny", "it does not report by result.at(rego.metadata.chain(), …), so its place and code are lost", remedy, *_at(rule)


def _reports(text: str) -> bool:
    return "".join(text.split()).startswith("denycontainsresult.at(rego.metadata.chain(),")


def _imports(parsed: _Parsed) -> Iterator[_Found]:
    """Packages are imported, not what is in them: `addresses.all` says where it comes from."""
    for one in parsed.tree.get("imports", ()):
        path = [str(part.get("value")) for part in one["path"]["value"]]
        if path[:2] == ["data", "ordain"] and len(path) > (3 if path[2:3] == ["result"] else 6 if path[2:3] == ["tenants"] else 5):
            package = ".".join(path[:-1])
            yield "import", f"{path[-1]} is imported from its package", f"import {package}, and write {path[-2]}.{path[-1]}", *_at(one)


def _left_behind(parsed: _Parsed) -> Iterator[_Found]:
    """`print` is for the time of writing: a judge throws it away."""
    for node in nodes(parsed.tree.get("rules", ())):
        terms = node.get("terms")
        if isinstance(terms, list) and _name(terms[0]) == "print":
            yield "print", "print is left from debugging", "take it out; `ordain policy debug` shows values without it", *_at(node)


def _tests(parsed: _Parsed) -> Iterator[_Found]:
    """A file of tests has some, in the package of its rule with `_test` after it."""
    if not parsed.is_test:
        return
    names = [rule["head"].get("name") or _first(rule["head"]) for rule in parsed.tree.get("rules", ())]
    if not any(str(name).startswith("test_") for name in names):
        yield "test", "it has no rule that is called test_…", "write one that asks the rule about what it must find", 1, 1
    package = parsed.tree["package"]["path"]
    if not str(package[-1]["value"]).endswith("_test"):
        yield (
            "test",
            "its package does not end in _test, so it is part of the rule",
            "name it as the rule's package, with _test after it",
            1,
            1,
        )


CHECKS: tuple[Callable[[_Parsed], Iterator[_Found]], ...] = (
    _unequal_in_loops,
    _deny_otherwise,
    _imports,
    _left_behind,
    _tests,
)


def nodes(node: Any) -> Iterator[_Node]:
    """Yield all nodes of what `opa parse` gives that have a place, at any depth."""
    if isinstance(node, Mapping):
        if "location" in node:
            yield node
        for name, value in node.items():
            if name not in ("location", "annotations"):
                yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def _operator(node: _Node) -> str:
    terms = node.get("terms")
    return _name(terms[0]) if isinstance(terms, list) else ""


def _name(term: Any) -> str:
    """Return what a call calls: `neq`, `print`."""
    value = term.get("value") if isinstance(term, Mapping) and term.get("type") == "ref" else None
    return ".".join(str(part.get("value")) for part in value) if isinstance(value, list) else ""


def _is_wildcard(node: _Node) -> bool:
    """Return whether a reference goes through all items of something without naming them: `input.tags[_]`."""
    value = node.get("value")
    return node.get("type") == "ref" and isinstance(value, list) and any(_is_unnamed(part) for part in value[1:])


def _is_unnamed(term: _Node) -> bool:
    return term.get("type") == "var" and str(term.get("value", "")).startswith("$")


def _first(head: _Node) -> str:
    return str((head.get("ref") or [{}])[0].get("value", ""))


def _text(node: _Node) -> str:
    return base64.b64decode(node["location"].get("text", "")).decode(errors="replace")


def _at(node: _Node) -> tuple[int, int]:
    return int(node["location"]["row"]), int(node["location"]["col"])
