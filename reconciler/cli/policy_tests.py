"""`ordain policy test`: do the rules keep what their tests and examples promise?"""

import json
import sys
from collections.abc import Iterator, Sized
from pathlib import Path

import click

from reconciler.cli.policy_source import FORMAT, OPA, PATH, REFUSED, Place, place_of, shown
from reconciler.cli.progress import Progress
from reconciler.opa.program import find_opa
from reconciler.pipeline.manifests import DirectoryTree
from reconciler.pipeline.policy import testing
from reconciler.pipeline.policy.coverage import Coverage
from reconciler.pipeline.policy.testing import Asked, Report, TestResult
from reconciler.printable import printable
from reconciler.resources import directory

FULL = 100.0
RANGES_SHOWN = 20
"""Runs of missed lines that text names for one rule."""


@click.command("test")
@PATH
@click.option("--rule", "only", default="", metavar="TEXT", help="Test only rules whose id contains TEXT.")
@click.option("--coverage", is_flag=True, help="Say which lines of each rule no test and no example reaches.")
@click.option("--minimum", type=click.FloatRange(0, FULL), help="Fail where a rule's coverage, in percent, is below this.")
@click.option("--watch", is_flag=True, help="Test again whenever a file changes, until Ctrl-C.")
@FORMAT
@OPA
def run_tests(path: Path | None, only: str, minimum: float | None, form: str, opa: Path | None, *, coverage: bool, watch: bool) -> None:
    """Test the rules of the fleet repository at PATH; without PATH, ordain's own.

    Runs what `opa check` finds, the tests in `*_test.rego`, and the examples in `examples/{pass,fail}-*.yaml`.
    Exit codes: 0 all pass, 1 something fails or is covered too little, 2 wrong usage, 3 OPA can't be run.

    \b
    Examples:
      ordain policy test                             the rules that ordain brings
      ordain policy test fleets                      a fleet repository's own
      ordain policy test fleets --minimum 100        and each line of them is reached
      ordain policy test fleets --rule files/ --watch
      ordain policy test . --format json             for machines
    """
    asked = Asked(only=only, coverage=coverage or minimum is not None)
    found, bound = find_opa(opa), minimum or 0.0
    if not watch:
        sys.exit(0 if _tested(path, asked, bound, form, found) else REFUSED)
    from reconciler.cli.watching import watched  # noqa: PLC0415 - threads and a library, for those who watch

    for _ in watched(path or directory("policies")):
        click.clear()
        _tested(path, asked, bound, form, found)
        click.echo("waiting for a change; Ctrl-C ends", err=True)


def _tested(path: Path | None, asked: Asked, bound: float, form: str, opa: Path) -> bool:
    """Test once, print the report, and return whether all is well."""
    place = place_of(path)
    with Progress() as told:
        told("testing rules")
        report = testing.run_library(opa, asked) if path is None else testing.run_repository(DirectoryTree(path), place.layout, opa, asked)
    short = [one for one in report.coverage if one.percent < bound]
    if form == "json":
        click.echo(json.dumps(_as_json(report), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join([*_as_text(report, place), *(_too_little(one, bound) for one in short)]))
    return report.passed and not short


def _as_text(report: Report, place: Place) -> Iterator[str]:
    """Yield a report for people: what failed, each with its place, then one line that sums up."""
    if report.findings:
        yield from shown(report.findings, place)
        yield "nothing was tested, since these rules don't compile"
        return
    failed = [each for each in report.tests if not each.passed]
    for each in failed:
        yield from _failed(each)
    wrong = [f"{each.file}:{one.line}: {one.message}" for each in report.examples for one in each.mismatches]
    yield from map(printable, wrong)
    yield from (f"{rule}: no test; write one in a file that ends in _test.rego, or an example" for rule in report.untested)
    yield from map(_covered, report.coverage)
    counted = ", ".join([_counted(report.rules, "rule"), _counted(report.tests, "Rego test"), _counted(report.examples, "example")])
    many = len(failed) + len(wrong)
    yield f"{counted}: {click.style(f'{many} failed', fg='red') if many else click.style('all pass', fg='green')}"


def _failed(test: TestResult) -> Iterator[str]:
    yield f"{test.file}:{test.line}: {test.package}.{test.name}: {printable(test.message)}"
    for line in test.detail:
        colour = {"-": "red", "+": "green"}.get(line[:1])
        yield "    " + click.style(printable(line), fg=colour)


def _covered(one: Coverage) -> str:
    missed = f"  {one.file}: missed {_ranges(one.missed)}" if one.missed else ""
    return f"{one.percent:5.1f} %  {one.rule}{missed}"


def _too_little(one: Coverage, bound: float) -> str:
    return f"{one.rule}: {one.percent:.1f} % of its lines are reached, and {bound:g} % is asked for; add a test or an example that does"


def _ranges(lines: tuple[int, ...]) -> str:
    """Return line numbers with runs of them in short: 3-5, 9."""
    runs: list[list[int]] = []
    for line in lines:
        if runs and runs[-1][1] == line - 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    words = [f"{first}" if first == last else f"{first}-{last}" for first, last in runs]
    more = f" and {len(words) - RANGES_SHOWN} more" if len(words) > RANGES_SHOWN else ""
    return ", ".join(words[:RANGES_SHOWN]) + more


def _counted(found: Sized, what: str) -> str:
    return f"{len(found)} {what}{'' if len(found) == 1 else 's'}"


def _as_json(report: Report) -> dict[str, object]:
    faults = [
        {"file": each.place.file, "line": each.place.line or 1, "code": each.code, "message": each.message, "remedy": each.remedy}
        for each in report.findings
    ]
    return {
        "passed": report.passed,
        "rules": list(report.rules),
        "untested": list(report.untested),
        "findings": faults,
        "tests": [_test(each) for each in report.tests],
        "examples": [
            {
                "rule": each.rule,
                "file": each.file,
                "passed": each.passed,
                "mismatches": [{"line": wrong.line, "message": wrong.message} for wrong in each.mismatches],
            }
            for each in report.examples
        ],
        "coverage": [_coverage(each) for each in report.coverage],
    }


def _test(one: TestResult) -> dict[str, object]:
    place = {"package": one.package, "name": one.name, "file": one.file, "line": one.line}
    return {**place, "passed": one.passed, "message": one.message, "detail": list(one.detail)}


def _coverage(one: Coverage) -> dict[str, object]:
    return {"rule": one.rule, "file": one.file, "percent": round(one.percent, 1), "missed": list(one.missed)}
