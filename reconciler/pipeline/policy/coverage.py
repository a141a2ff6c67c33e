"""Which lines of a rule no test and no example ever reaches, as OPA counts them.

Examples are asked of a running OPA, which counts nothing: so here each question of theirs is written as a test of its own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from agent.protocol.errors import RetryError
from reconciler.pipeline.policy.metadata import Rule
from reconciler.pipeline.policy.recorder import reference

FILE = "examples_as_tests_test.rego"
"""Where the questions of examples stand, at the root of what is tested."""
PACKAGE = "ordain_examples_test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a rule was reached: lines with code that were, and the numbers of those that were not."""

    rule: str
    file: str
    reached: int
    missed: tuple[int, ...]

    @property
    def percent(self) -> float:
        """Return the share of lines that were reached; all of none."""
        lines = self.reached + len(self.missed)
        return 100.0 * self.reached / lines if lines else 100.0


def as_tests(questions: Iterable[tuple[Mapping[str, Any], Rule]]) -> bytes:
    """Return questions as a Rego file in which each is a test that passes whatever is found."""
    tests = (
        f"test_{number} if count({reference(rule)}) >= 0 with input as {json.dumps(seen)}\n"
        for number, (seen, rule) in enumerate(questions)
    )
    return "\n".join([f"package {PACKAGE}\n", *tests]).encode()


def read(report: str, rules: Mapping[str, str]) -> Iterator[Coverage]:
    """Yield the coverage of each rule, whose files are named by its id, from a report of OPA.

    Raises:
        RetryError: it is none.
    """
    try:
        files = json.loads(report)["files"]
    except (ValueError, KeyError, TypeError) as error:
        message = f"opa test counted nothing: {report.strip()[:300]}; mend the tests that fail first, or try again"
        raise RetryError(message) from error
    counted = {str(PurePosixPath(path)): found for path, found in files.items()}
    for rule, file in rules.items():
        found = counted.get(file, {})
        reached, missed = _lines(found.get("covered")), _lines(found.get("not_covered"))
        yield Coverage(rule=rule, file=file, reached=len(reached), missed=tuple(sorted(missed - reached)))


def _lines(ranges: Iterable[Mapping[str, Any]] | None) -> set[int]:
    return {line for one in ranges or () for line in range(one["start"]["row"], one["end"]["row"] + 1)}
