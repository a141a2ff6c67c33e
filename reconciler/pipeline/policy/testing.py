"""What `ordain policy test` does: check rules as a judge does, run their Rego tests, then their YAML examples."""

import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from agent.protocol.errors import InputError, RetryError
from reconciler.opa.program import hurried
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import DirectoryTree, Layout
from reconciler.pipeline.policy import conftest, coverage, differences, examples, library
from reconciler.pipeline.policy.coverage import Coverage
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.policy.examples import ExampleResult
from reconciler.pipeline.policy.judge import Judge, JudgeRefused, load
from reconciler.pipeline.policy.library import BUILT_IN, CONFTEST
from reconciler.pipeline.policy.recorder import Recorder
from reconciler.pipeline.tree import MemoryTree, Tree
from reconciler.resources import directory

TEST_SECONDS = 300
ONE_TEST = "30s"
"""The longest that one Rego test may take."""
AUTHZ = "authz"
"""Where ordain's own policies about operators and hosts stand."""
EXAMPLE_SECONDS = 30.0
"""Examples are few and small; a rule that takes this long will never judge in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One Rego test."""

    package: str
    name: str
    file: str
    line: int
    passed: bool
    message: str
    detail: tuple[str, ...] = ()
    """Of one that failed: what was expected and what came, in lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was tested; with findings nothing else ran, since the rules don't compile.

    `coverage` is empty where nobody asked for it.
    """

    rules: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    tests: tuple[TestResult, ...] = ()
    examples: tuple[ExampleResult, ...] = ()
    coverage: tuple[Coverage, ...] = ()

    @property
    def untested(self) -> tuple[str, ...]:
        """The rules for which there is neither a Rego test nor an example: that all pass says nothing of them."""
        packages = {test.package for test in self.tests}
        shown = {example.rule for example in self.examples}
        return tuple(rule for rule in self.rules if rule not in shown and not any(one.endswith(_test_package(rule)) for one in packages))

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return not self.findings and all(test.passed for test in self.tests) and all(example.passed for example in self.examples)


def _test_package(rule: str) -> str:
    """Return how the package of a rule's tests ends."""
    return f".{rule.replace('/', '.').replace('-', '_')}_test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be tested: rules whose id contains `only`, with coverage or without."""

    only: str = ""
    coverage: bool = False


def run_library(opa: Path, asked: Asked | None = None) -> Report:
    """Test the rules that ordain brings.

    Raises:
        RetryError: OPA can't be run.
    """
    return _run(MemoryTree({}), DirectoryTree(directory("policies")), Layout(), opa, asked or Asked(), prefix=BUILT_IN)


def run_repository(tree: Tree, layout: Layout, opa: Path, asked: Asked | None = None) -> Report:
    """Test a fleet repository's own rules, and its vendored copy of the library.

    Raises:
        InputError: no rule is called as it was asked.
        RetryError: OPA can't be run.
    """
    return _run(tree, tree, layout, opa, asked or Asked())


def _run(judged: Tree, tested: Tree, layout: Layout, opa: Path, asked: Asked, *, prefix: str = "") -> Report:
    """Test the rules whose place begins with `prefix` and else is a path in `tested`."""
    try:
        judge = load(judged, None, layout, opa=opa)
    except JudgeRefused as refusal:
        return Report(findings=refusal.findings)
    files = {name: rule.file.removeprefix(prefix) for name, rule in judge.rules.items() if rule.file.startswith(prefix)}
    files = {name: file for name, file in files.items() if not file.startswith(BUILT_IN) and asked.only in name}
    if asked.only and not files:
        message = f"no rule that is tested here has {asked.only!r} in its id; `ordain policy list` names them"
        raise InputError(message)
    sources = library.collect(judged, layout.policies)
    contents = {source.place.removeprefix(prefix): source.content for source in sources.files.values()}
    contents |= {path: tested.read(path) for path in tested.entries if path.endswith("_test.rego") and _is_tested(path, prefix, layout)}
    if sources.authz:
        contents |= {one.place.removeprefix(prefix): one.content for one in (*sources.authz.values(), *library.built_in_authz().values())}
    if prefix:  # what is allowed in the control zone is no rule of a judge, and tested here too
        contents |= {path: tested.read(path) for path in tested.entries if path.startswith(f"{AUTHZ}/") and path.endswith(".rego")}
    foreign = {source.place: source.content for source in sources.conftest.values()}
    foreign |= {path: contents.pop(path) for path in list(contents) if path.startswith(f"{layout.policies}/{CONFTEST}/")}
    own = {name: file for name, file in files.items() if file not in foreign}
    with Policies(judge, opa=opa, seconds=EXAMPLE_SECONDS) as policies:
        shown = tuple(examples.run(tested, own, policies))
    chosen = _chosen(own) if asked.only else ()
    tests = (*_tests(contents, opa, *chosen), *(_tests_for_conftest(foreign, opa) if foreign else ()))
    sound = all(test.passed for test in tests)
    covered = tuple(_coverage(judge, tested, own, contents, opa=opa, chosen=chosen)) if asked.coverage and sound else ()
    return Report(rules=tuple(files), tests=tests, examples=shown, coverage=covered)


def _chosen(rules: Iterable[str]) -> tuple[str, str]:
    """Return the options by which OPA runs the tests of some rules alone, and those made of examples."""
    packages = [*(_test_package(name).replace(".", "[.]") for name in rules), coverage.PACKAGE]
    return "--run", f"({'|'.join(packages)})[.]"


def _coverage(
    judge: Judge, tested: Tree, rules: Mapping[str, str], contents: Mapping[str, bytes], *, opa: Path, chosen: Iterable[str]
) -> Iterator[Coverage]:
    """Yield what tests and examples reach of each rule; each question of an example counts as a test."""
    recorder = Recorder()
    with Policies(judge, opa=opa, server=recorder) as policies:
        list(examples.run(tested, rules, policies))
    more = coverage.as_tests((seen.input, judge.rules[name]) for seen in recorder.seen for name in seen.rules)
    with _written({**contents, coverage.FILE: more}) as root:
        output, errors = _opa_test(root, opa, "--coverage", "--coverage-runs=", *chosen)
    yield from coverage.read(output or errors, rules)


def _is_tested(path: str, prefix: str, layout: Layout) -> bool:
    return bool(prefix) or path.startswith(layout.policies + "/")


def _tests_for_conftest(contents: Mapping[str, bytes], opa: Path) -> Iterator[TestResult]:
    """Run the tests of rules that were written for conftest, each file as the version of Rego that it is."""
    versions = conftest.versions(contents, opa)
    manifest = json.dumps(conftest.manifest(("",), versions)).encode()
    yield from _tests({**contents, ".manifest": manifest}, opa, "--bundle")


def _tests(contents: Mapping[str, bytes], opa: Path, *options: str) -> Iterator[TestResult]:
    """Run the Rego tests among files by path; where one fails, again with the values that it had: those cost time."""
    with _written(contents) as root:
        results = list(_results(*_opa_test(root, opa, *options)))
        if any(not one.passed and one.name for one in results):
            results = list(_results(*_opa_test(root, opa, "--var-values", *options)))
    yield from results


@contextmanager
def _written(contents: Mapping[str, bytes]) -> Iterator[Path]:
    """Yield a directory with files by their path; those that ordain brings have a directory of their own in it."""
    with tempfile.TemporaryDirectory(prefix="ordain-test-") as name:
        root = Path(name)
        for path, content in contents.items():
            target = root / path.replace(BUILT_IN, "ordain/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        yield root


def _opa_test(root: Path, opa: Path, *options: str) -> tuple[str, str]:
    """Run the tests in a directory; return what OPA printed on stdout and stderr, or raise `RetryError` if it can't be run."""
    capabilities = directory("policies") / "capabilities.json"
    command = [str(opa), "test", "--format=json", f"--capabilities={capabilities}", f"--timeout={ONE_TEST}", *options, "."]
    try:
        done = subprocess.run(command, cwd=root, env=hurried(), capture_output=True, text=True, timeout=TEST_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"opa test can't be run: {error}; try again, or name another OPA in ORDAIN_OPA"
        raise RetryError(message) from error
    return done.stdout, done.stderr


def _results(output: str, errors: str) -> Iterator[TestResult]:
    try:
        results = json.loads(output) if output.strip() else None
    except ValueError:
        results = None
    if isinstance(results, dict):
        yield from (_broken(error) for error in results.get("errors", ()))
    elif isinstance(results, list):
        yield from (_result(raw) for raw in results)
    elif errors.strip():
        yield TestResult(package="", name="", file="", line=0, passed=False, message=errors.strip())


def _result(raw: Mapping[str, Any]) -> TestResult:
    location = raw.get("location") or {}
    error = (raw.get("error") or {}).get("message", "")
    event = differences.stopped(raw.get("trace") or ()) if raw.get("fail") else None
    at = (event or {}).get("Location") or location
    return TestResult(
        package=str(raw.get("package", "")).removeprefix("data."),
        name=str(raw.get("name", "")),
        file=str(PurePosixPath(str(at.get("file", "")))),
        line=int(at.get("row", 0)),
        passed=not raw.get("fail") and not error,
        message=error or ("it is not true" if raw.get("fail") else ""),
        detail=tuple(differences.explained(event)) if event else (),
    )


def _broken(error: Mapping[str, Any]) -> TestResult:
    """Return what keeps tests from running at all: they don't compile."""
    location = error.get("location") or {}
    line = int(location.get("row", 0))
    return TestResult(
        package="", name="", file=str(location.get("file", "")), line=line, passed=False, message=str(error.get("message", ""))
    )
