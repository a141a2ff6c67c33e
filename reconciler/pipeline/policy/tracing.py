"""What a rule did with one input, line by line: how far each try at one of its definitions came, and the values on the way.

OPA tells every step of its search. Told here is one pass for each way that the search took through a definition: the lines that it
reached, what the variables on them were bound to, and whether it came to the end or on which line it stopped.
"""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.protocol.errors import InputError, RetryError
from reconciler.pipeline.policy.answers import resolve
from reconciler.pipeline.policy.metadata import Rule
from reconciler.pipeline.policy.recorder import Seen, reference
from reconciler.pipeline.policy.terms import locals_of, value_of
from reconciler.printable import clipped

EVAL_SECONDS = 10
"""A rule takes a millisecond, its trace a hundred times that."""
TRACE_BYTES = 64 * 1024 * 1024
"""Bytes of a trace that are read: some 100,000 steps, more than anybody looks at."""
PASSES_LIMIT = 200
"""Passes that are kept; the search may take any number of ways."""
VALUE_LIMIT = 160
"""Characters of a value that are shown."""
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`|#.*$')
_TICK = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line that a pass reached, and what stands on it is bound to, by name."""

    number: int
    source: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One way through one definition: `completed`, or stopped on the last of its lines. `depth` counts who called it."""

    definition: str
    depth: int
    lines: tuple[Line, ...]
    completed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What came of one question: findings, or the error that there was instead, and the passes, of which the first are kept."""

    findings: tuple[Mapping[str, Any], ...] = ()
    error: str = ""
    passes: tuple[Pass, ...] = ()
    left_out: int = 0


@dataclass(slots=True, kw_only=True)
class _Way:
    """Where the search is in one definition: which lines it has reached."""

    definition: str
    first: int
    depth: int
    rows: list[tuple[int, int]] = field(default_factory=list)


def trace(rule: Rule, path: str, source: str, seen: Seen, *, bundle: bytes, opa: Path) -> Trace:
    """Ask one rule about one input, and return what it did.

    `path` is where the rule's file is in `bundle`, `source` its text.

    Raises:
        InputError: the trace is longer than anybody could read.
        RetryError: OPA can't be run.
    """
    answer = _evaluated(rule, seen, bundle, opa)
    errors = answer.get("errors") or ()
    values = [each["value"] for one in answer.get("result") or () for each in one.get("expressions", ())]
    passes = list(_passes(answer.get("explanation") or (), path, source.split("\n"), seen.input, rule))
    return Trace(
        findings=tuple(values[0]) if values and isinstance(values[0], list) else (),
        error="; ".join(_error(one) for one in errors),
        passes=tuple(passes[:PASSES_LIMIT]),
        left_out=max(0, len(passes) - PASSES_LIMIT),
    )


def _error(error: Mapping[str, Any]) -> str:
    row = (error.get("location") or {}).get("row")
    return f"{f'line {row}: ' if row else ''}{error.get('message', 'it failed')}"


def _evaluated(rule: Rule, seen: Seen, bundle: bytes, opa: Path) -> dict[str, Any]:
    """Return what `opa eval` says, with each step."""
    options = ["--format=json", "--explain=full", "--disable-indexing", "--disable-early-exit", "--strict-builtin-errors"]
    with tempfile.TemporaryDirectory(prefix="ordain-debug-") as name:
        root = Path(name)
        (root / "judge.tar.gz").write_bytes(bundle)
        (root / "input.json").write_text(json.dumps(seen.input))
        command = [str(opa), "eval", *options, f"--timeout={EVAL_SECONDS}s", "-b", "judge.tar.gz", "-i", "input.json", reference(rule)]
        _run(command, root)
        output, errors = (root / "out").read_bytes(), (root / "err").read_text(errors="replace")
    try:
        answer = json.loads(output)
    except ValueError as error:
        message = f"opa eval said nothing that can be read: {errors.strip()[:300]}; try again"
        raise RetryError(message) from error
    return answer if isinstance(answer, dict) else {}


def _run(command: Sequence[str], root: Path) -> None:
    """Run OPA until it ends, or its output is too long."""
    try:
        with (root / "out").open("wb") as out, (root / "err").open("wb") as err:
            process = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            limit = time.monotonic() + 3 * EVAL_SECONDS
            while process.poll() is None and (root / "out").stat().st_size <= TRACE_BYTES and time.monotonic() < limit:
                time.sleep(_TICK)
            process.kill()
            process.wait()
    except OSError as error:
        message = f"{command[0]} can't be run: {error}; name another OPA in ORDAIN_OPA"
        raise RetryError(message) from error
    if (root / "out").stat().st_size > TRACE_BYTES:
        message = f"the trace has more than {TRACE_BYTES // 1024 // 1024} MiB; debug the rule with a smaller manifest"
        raise InputError(message)


def _passes(events: Sequence[Mapping[str, Any]], path: str, source: list[str], seen: Mapping[str, Any], rule: Rule) -> Iterator[Pass]:
    """Yield the passes of the definitions in one file, in the order in which they ended."""
    ways: dict[int, _Way] = {}
    parents: dict[int, int] = {}
    for event in events:
        query, at = int(event["QueryID"]), event.get("Location") or {}
        parents.setdefault(query, int(event["ParentID"]))
        node = event.get("Node")
        if at.get("file", "").lstrip("/") != path or not isinstance(node, Mapping):
            continue
        row, column = int(at["row"]), int(at["col"])
        if event["Op"] == "Enter" and "head" in node:
            ways[query] = _Way(definition=_name(node), first=row, depth=_depth(query, parents, ways))
        way = ways.get(query)
        if way is None:
            continue
        if event["Op"] == "Eval":
            way.rows.append((row, column))
        elif event["Op"] == "Redo" and (row, column) in way.rows:
            del way.rows[len(way.rows) - way.rows[::-1].index((row, column)) :]  # the compiler may put one place there twice
        elif event["Op"] in ("Fail", "Exit"):
            yield _pass(way, event, source, seen, rule)


def _name(node: Mapping[str, Any]) -> str:
    """Return what a definition is called, by its head."""
    head = node["head"]
    return str(head.get("name") or ".".join(str(part.get("value")) for part in head.get("ref", ())))


def _depth(query: int, parents: Mapping[int, int], ways: Mapping[int, _Way]) -> int:
    """Return how many definitions called each other up to a query; a cycle there can't be, since ids grow."""
    above = parents[query]
    while above:
        if above in ways:
            return ways[above].depth + 1
        above = parents.get(above, 0)
    return 0


def _pass(way: _Way, event: Mapping[str, Any], source: list[str], seen: Mapping[str, Any], rule: Rule) -> Pass:
    rows = sorted({row for row, _ in way.rows})
    body = [row for row in rows if row != way.first] or rows
    known = {} if rule.sensitive else {**_bound(event), "input": seen}
    told: set[str] = set()
    lines = []
    for row in body:
        line = source[row - 1] if row <= len(source) else ""
        values = {name: value for name, value in _values(line, known) if name not in told}
        told |= values.keys()
        lines.append(Line(number=row, source=line.strip(), values=values))
    return Pass(definition=way.definition, depth=way.depth, lines=tuple(lines), completed=event["Op"] == "Exit")


def _bound(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an author's own variables are bound to; those that the compiler made have no name."""
    named = {name: str(told.get("name", "")) for name, told in (event.get("LocalMetadata") or {}).items()}
    return {named[name]: value_of(term) for name, term in locals_of(event).items() if not named.get(name, "__").startswith("__")}


def _values(line: str, known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the names on a line stand for, as they are written there: variables, fields of them, and what is read of the input."""
    for name in dict.fromkeys(_NAME.findall(_TEXT.sub('""', line))):
        value = resolve(known, tuple(name.split(".")))
        if value is not None and name != "input":
            yield name, clipped(json.dumps(value, ensure_ascii=False), VALUE_LIMIT)
