"""What rules cost: OPA's own time for each, over the manifests of a repository, a rule at a time.

Each rule is asked about all its manifests in one `opa test`, several times over; the best time counts, for everything else on the
machine only ever adds to it. The time of asking nothing about the same manifests is taken off.
"""

import json
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.protocol.errors import RetryError
from reconciler.pipeline.policy.metadata import Rule, Scope
from reconciler.pipeline.policy.recorder import Seen, reference

SAMPLE = 200
"""Questions of each scope and kind that are measured: evenly taken, they stand for all."""
LEAST = 50
"""Questions of one round: fewer are put again and again, or what OPA needs to begin with would drown them."""
ROUNDS = 5
"""How often each is measured; the best counts."""
BENCH_SECONDS = 300
ONE_RULE = "30s"
"""The longest that all measured questions to one rule may take."""
PACKAGE = "ordain_bench"
MICRO = 1_000.0
"""Nanoseconds in a microsecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one rule costs: microseconds for one thing that it is asked about, on average, and how many of those were measured."""

    rule: str
    scope: Scope
    each: float
    asked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What all rules cost, the dearest first, and together for one manifest of each kind, in microseconds."""

    rules: tuple[Cost, ...]
    kinds: Mapping[str, float]

    @property
    def dearest_kind(self) -> tuple[str, float]:
        """The kind whose manifests cost most, and what one of them does; nothing where there are no manifests."""
        return max(self.kinds.items(), key=lambda one: one[1], default=("", 0.0))

    def share(self, cost: Cost) -> float:
        """Return a rule's part of all the time, in percent."""
        total = sum(one.each * one.asked for one in self.rules)
        return 100.0 * cost.each * cost.asked / total if total else 0.0


def measure(seen: Sequence[Seen], rules: Mapping[str, Rule], *, bundle: bytes, opa: Path) -> Costs:
    """Measure rules by what they are asked (see `Recorder`).

    Raises:
        RetryError: OPA can't be run, or a rule fails.
    """
    subjects = _sample(seen)
    questions = [one for found in subjects for one in found]
    asked = {name: [number for number, one in enumerate(questions) if name in one.rules] for name in rules}
    asked = {name: numbers for name, numbers in asked.items() if numbers}
    repeated = {name: numbers * -(-LEAST // len(numbers)) for name, numbers in asked.items()}
    best = _best(_tests(questions, [(reference(rules[name]), numbers) for name, numbers in repeated.items()]), bundle, opa)
    costs = []
    for place, (name, numbers) in enumerate(asked.items()):
        alone = max(0.0, best[f"test_rule_{place}"] - best[f"test_nothing_{place}"])
        costs.append(Cost(rule=name, scope=rules[name].scope, each=alone / MICRO / len(repeated[name]), asked=len(numbers)))
    each = {one.rule: one.each for one in costs}
    by_kind: dict[str, list[float]] = defaultdict(list)
    for found in subjects:
        if "object" in found[0].input:
            by_kind[_kind(found[0])].append(sum(each[name] for one in found for name in one.rules))
    ranked = tuple(sorted(costs, key=lambda one: (-one.each, one.rule)))
    return Costs(rules=ranked, kinds={kind: statistics.fmean(totals) for kind, totals in sorted(by_kind.items())})


def _sample(seen: Iterable[Seen]) -> list[list[Seen]]:
    """Return the questions about some subjects of each kind, evenly taken; rules with other parameters are asked about one apart."""
    subjects: dict[int, list[Seen]] = {}
    for one in seen:
        subjects.setdefault(id(_subject(one)), []).append(one)  # the recorder keeps them alive, so no two have one id
    kinds: dict[str, list[list[Seen]]] = defaultdict(list)
    for found in subjects.values():
        kinds[_kind(found[0])].append(found)
    return [found for groups in kinds.values() for found in groups[:: -(-len(groups) // SAMPLE)]]


def _subject(one: Seen) -> Any:
    return next((one.input[name] for name in ("object", "fleet") if name in one.input), one.input["change"])


def _kind(one: Seen) -> str:
    """Return what a question is about: the kind of an object, else its scope."""
    if "object" in one.input:
        return str(one.input["object"].get("kind", ""))
    return "release" if "fleet" in one.input else "change"


def _tests(questions: Sequence[Seen], asked: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Return a Rego file with two tests for each rule: one asks it, one asks nothing of as many questions."""
    inputs = ",\n".join(json.dumps(one.input) for one in questions)
    lines = [f"package {PACKAGE}\n", f"seen := [{inputs}]\n", "nothing := set() if input\n"]
    for place, (query, numbers) in enumerate(asked):
        for name, what in (("rule", query), ("nothing", f"data.{PACKAGE}.nothing")):
            lines.append(f"test_{name}_{place} if every i in {list(numbers)} {{ count({what}) >= 0 with input as seen[i] }}\n")
    return "\n".join(lines)


def _best(tests: str, bundle: bytes, opa: Path) -> dict[str, float]:
    """Return the shortest time of each test, in nanoseconds."""
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        root = Path(name)
        (root / "judge.tar.gz").write_bytes(bundle)
        (root / "bench").mkdir()
        (root / "bench" / f"{PACKAGE}.rego").write_text(tests)
        (root / "bench" / ".manifest").write_text(json.dumps({"roots": [PACKAGE], "rego_version": 1}))
        options = ["--format=json", f"--count={ROUNDS}", "--parallel=1", f"--timeout={ONE_RULE}", "--run", f"{PACKAGE}[.]"]
        command = [str(opa), "test", *options, "--bundle", "judge.tar.gz", "bench"]
        try:
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=BENCH_SECONDS, check=False)
            results = [one for found in _documents(done.stdout) for one in found]
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            message = f"opa test can't be run: {error}; try again, or name another OPA in ORDAIN_OPA"
            raise RetryError(message) from error
    if not results:
        message = f"OPA measured nothing: {(done.stderr or done.stdout).strip()[:300]}; try again"
        raise RetryError(message)
    return _shortest(results)


def _documents(text: str) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the JSON documents that OPA prints one after another, one for each round; raise `ValueError` for anything else."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        if not isinstance(found, list):
            return
        yield found
        rest = rest[end:].lstrip()


def _shortest(results: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    times: dict[str, float] = {}
    for one in results:
        if one.get("fail") or one.get("error"):
            why = (one.get("error") or {}).get("message", "a rule has no answer")
            message = f"OPA could not measure a rule: {why}; `ordain check` names the rule and the manifest"
            raise RetryError(message)
        name = str(one["name"])
        times[name] = min(times.get(name, float("inf")), float(one["duration"]))
    return times
