"""Rules with one condition wrong, and which of them their own Rego tests let pass: `make test-mutations` lists those.

A mutant is a rule in which one expression is left out, turned into its opposite or compared otherwise, in which one of
several definitions is gone, or one of several listed values. Where a rule's tests still pass, nothing holds that
condition. All mutants of a rule run in one `opa test`, each in a package of its own.
"""

import base64
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.opa.program import find_opa, hurried
from reconciler.pipeline.policy.habits import nodes
from reconciler.resources import directory
from tests.policy_equivalents import EQUIVALENT

LIBRARY = directory("policies")
RULES = LIBRARY / "rules"
WORKERS = 2
OPERATORS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
_OPERATOR = re.compile(r" (<=|>=|==|!=|<|>) ")
_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`')
_SCALARS = ("string", "number", "boolean")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One wrong version of one rule: `what` was done to the code at `line`, which reads `old` and now `new`."""

    rule: str
    line: int
    what: str
    old: str
    new: str
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it in the list of those that are no different: the line it stands on may move."""
        return self.rule, self.what, self.old

    def __str__(self) -> str:
        return f"{self.rule}:{self.line}: {self.what}: {self.old!r} -> {self.new!r}"


def rule_files() -> list[Path]:
    """Return all rules and helpers of the library."""
    return sorted(path for path in RULES.glob("*/*/*.rego") if not path.name.endswith("_test.rego"))


def mutants(file: Path, opa: Path) -> list[Mutant]:
    """Return all wrong versions of a rule, among them some that do not compile."""
    source = file.read_text()
    command = [str(opa), "parse", "--format=json", "--json-include=locations", str(file)]
    tree = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    name = file.parent.relative_to(RULES).as_posix()
    found: dict[str, Mutant] = {}
    for start, old, what, new in _changes(tree["rules"], source):
        text = source[:start] + new + source[start + len(old) :]
        line = source.count("\n", 0, start) + 1
        found.setdefault(text, Mutant(rule=name, line=line, what=what, old=old, new=new, source=text))
    return list(found.values())


def _changes(rules: list[dict[str, Any]], source: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield (offset, text there, what is done, text instead)."""
    for rule in rules:
        yield _offset(rule, source), _text(rule), "definition gone", ""
        for node in nodes(rule):
            if not _text(node):
                continue
            start, text = _offset(node, source), _text(node)
            if "terms" in node:
                yield from ((start, text, what, new) for what, new in _wrong_expressions(text, negated=node.get("negated", False)))
            elif node.get("type") in ("array", "set") and len(node["value"]) > 1:
                yield from _without_one(node, source)


def _wrong_expressions(text: str, *, negated: bool) -> Iterator[tuple[str, str]]:
    yield "left out", "true"
    yield "opposite", text.removeprefix("not ") if negated else f"not {text}"
    code = _TEXT.sub(lambda match: "_" * len(match[0]), text)
    operators = [*_OPERATOR.finditer(code)]
    if len(operators) == 1:
        [operator] = operators
        yield "compared otherwise", f"{text[: operator.start(1)]}{OPERATORS[operator[1]]}{text[operator.end(1) :]}"


def _without_one(node: Mapping[str, Any], source: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield a literal list without each of its plain values."""
    values = sorted(node["value"], key=lambda value: _offset(value, source))
    if not all(value["type"] in _SCALARS and _text(value) for value in values):
        return
    for index, value in enumerate(values):
        start, end = _offset(value, source), _offset(value, source) + len(_text(value))
        if index + 1 < len(values):
            end = _offset(values[index + 1], source)
        else:
            before = values[index - 1]
            start = _offset(before, source) + len(_text(before))
        yield start, source[start:end], "value gone", ""


def _text(node: Mapping[str, Any]) -> str:
    return base64.b64decode(node["location"].get("text", "")).decode()


def _offset(node: Mapping[str, Any], source: str) -> int:
    row, column = int(node["location"]["row"]), int(node["location"]["col"])
    return sum(len(line) + 1 for line in source.split("\n")[: row - 1]) + column - 1


def survivors(file: Path, opa: Path, *, step: int = 1) -> list[Mutant]:
    """Return the mutants of a rule, or every so manieth, that its tests do not notice, but for those that make no difference."""
    numbered = dict(enumerate(mutants(file, opa)[::step]))
    with tempfile.TemporaryDirectory(prefix="ordain-mutants-") as name:
        root = Path(name)
        _write_helpers(root, file)
        for number, mutant in numbered.items():
            _write(root, number, mutant, file)
        _remove_what_does_not_compile(root, opa)
        noticed = _noticed(root, opa)
    compiled = {number: mutant for number, mutant in numbered.items() if number in noticed}
    return [mutant for number, mutant in compiled.items() if not noticed[number] and mutant.key not in EQUIVALENT]


def _write_helpers(root: Path, file: Path) -> None:
    (root / "result.rego").write_bytes((LIBRARY / "result.rego").read_bytes())
    for helper in (RULES / "lib").glob("*/*.rego"):
        if not helper.name.endswith("_test.rego") and helper != file:
            (root / helper.name).write_bytes(helper.read_bytes())


def _write(root: Path, number: int, mutant: Mutant, file: Path) -> None:
    """Write a mutant and the rule's tests, both in packages of their own."""
    match = re.search(r"^package (ordain\.rules\.\w+\.(\w+))$", mutant.source, re.MULTILINE)
    assert match, file
    package, name = match[1], match[2]
    own = f"{package}_m{number}"
    (root / f"m{number}.rego").write_text(mutant.source.replace(f"package {package}", f"package {own}", 1))
    tests = file.with_name(f"{file.stem}_test.rego").read_text()
    tests = tests.replace(f"package {package}_test", f"package {own}_test", 1)
    tests = re.sub(rf"^import data\.{re.escape(package)}$", f"import data.{own} as {name}", tests, flags=re.MULTILINE)
    (root / f"m{number}_test.rego").write_text(tests)


def _remove_what_does_not_compile(root: Path, opa: Path) -> None:
    """Remove mutants that OPA refuses: they could never be loaded. It names them stage by stage."""
    while True:
        command = [str(opa), "check", "--format=json", "--max-errors=100000", "."]
        done = subprocess.run(command, cwd=root, env=hurried(), capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        wrong = {Path(error["location"]["file"]).stem.removesuffix("_test") for error in json.loads(done.stdout or done.stderr)["errors"]}
        assert all(re.fullmatch(r"m\d+", stem) for stem in wrong), wrong
        for stem in wrong:
            (root / f"{stem}.rego").unlink(missing_ok=True)
            (root / f"{stem}_test.rego").unlink(missing_ok=True)


def _noticed(root: Path, opa: Path) -> dict[int, bool]:
    """Return, of each mutant that compiles, whether a test fails."""
    command = [str(opa), "test", "--format=json", "--timeout=10s", "."]
    done = subprocess.run(command, cwd=root, env=hurried(), capture_output=True, text=True, check=False)
    noticed: dict[int, bool] = {}
    for result in json.loads(done.stdout):
        match = re.search(r"_m(\d+)_test$", result["package"])
        assert match, result
        failed = bool(result.get("fail") or result.get("error"))
        noticed[int(match[1])] = noticed.get(int(match[1]), False) or failed
    return noticed


def main() -> int:
    """Print all survivors; return 1 if there are any."""
    opa = find_opa(None)
    with ThreadPoolExecutor(WORKERS) as workers:
        left = [mutant for found in workers.map(lambda file: survivors(file, opa), rule_files()) for mutant in found]
        counted = sum(len(found) for found in workers.map(lambda file: mutants(file, opa), rule_files()))
    for mutant in left:
        print(mutant)  # noqa: T201 - what this command is for
    print(f"{counted} mutants of {len(rule_files())} rules, {len(left)} survive", file=sys.stderr)  # noqa: T201
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
