"""`ordain policy`: which rules judge, whether they keep what their tests and examples promise, and which OPA is asked."""

import json
import sys
from collections.abc import Sized
from pathlib import Path

import click

from agent.protocol.errors import InputError
from reconciler.cli.vendor import upgrade, vendor
from reconciler.pipeline.manifests import REPOSITORY_FILE, DirectoryTree, Document, layout_of, parse_file
from reconciler.pipeline.policy import testing
from reconciler.pipeline.policy.judge import Judge, JudgeRefused, load
from reconciler.pipeline.policy.opa import find_opa
from reconciler.pipeline.policy.testing import Report
from reconciler.pipeline.tree import MemoryTree

REFUSED = 1
_FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is printed."
)
_OPA = click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
_PATH = click.argument("path", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group()
def policy() -> None:
    """Rules: list them, test them, keep a copy of them, find the OPA that judges by them.

    \b
    Example:
      ordain policy test fleets
    """


policy.add_command(vendor)
policy.add_command(upgrade)


@policy.command("opa")
def print_opa() -> None:
    """Print the path of the OPA that judges; download or build it first where there is none.

    It is downloaded where its SHA-256 is known: pinned by this version, or named in ORDAIN_OPA_SHA256. ORDAIN_OPA_URL
    names a mirror. Else Go builds it.

    \b
    Example:
      ordain policy opa
    """
    click.echo(find_opa())


@policy.command("list")
@_PATH
@_FORMAT
@_OPA
def list_rules(path: Path | None, form: str, opa: Path | None) -> None:
    """List the rules that judge the fleet repository at PATH, with their levels; without PATH, ordain's own.

    Exit codes: 0 listed, 1 the repository's rules don't compile, 2 wrong usage, 3 OPA can't be run.

    \b
    Examples:
      ordain policy list                      the rules that ordain brings
      ordain policy list fleets               with the levels and parameters of a fleet repository
    """
    judge = _judge(path, find_opa(opa))
    settings = {name: judge.setting(name, REPOSITORY_FILE, rule.tenant) for name, rule in judge.rules.items()}
    rows = [
        {
            "id": rule.id,
            "scope": rule.scope,
            "level": settings[rule.id].level,
            "title": rule.title,
            "description": rule.description,
            "remedy": rule.remedy,
            "code": rule.code,
            "standing": settings[rule.id].standing,
            "kinds": sorted(rule.kinds),
            "parameters": dict(settings[rule.id].parameters),
            "file": rule.file,
        }
        for rule in judge.rules.values()
    ]
    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for rule in judge.rules.values():
        click.echo(f"{rule.id:<32} {settings[rule.id].level:<6} {rule.scope:<8} {rule.title}")
        for name, value in settings[rule.id].parameters.items():
            click.echo(f"  {name}: {json.dumps(value, ensure_ascii=False)}")


@policy.command("test")
@_PATH
@_FORMAT
@_OPA
def run_tests(path: Path | None, form: str, opa: Path | None) -> None:
    """Test the rules of the fleet repository at PATH; without PATH, ordain's own.

    Runs what `opa check` finds, the tests in `*_test.rego`, and the examples in `examples/{pass,fail}-*.yaml`.
    Exit codes: 0 all pass, 1 something fails, 2 wrong usage, 3 OPA can't be run.

    \b
    Examples:
      ordain policy test                      the rules that ordain brings
      ordain policy test fleets               a fleet repository's own
      ordain policy test . --format json      for machines
    """
    found = find_opa(opa)
    if path is None:
        report = testing.run_library(found)
    else:
        repository = _repository(path)
        report = testing.run_repository(DirectoryTree(path), layout_of(repository), found)
    click.echo(json.dumps(_as_json(report), indent=2, ensure_ascii=False) if form == "json" else _as_text(report))
    sys.exit(0 if report.passed else REFUSED)


def _repository(path: Path) -> Document | None:
    """Return the Repository manifest at the root of `path`; raise `InputError` where there is none to read."""
    file = path / REPOSITORY_FILE
    if not file.is_file():
        message = f"{path} is no fleet repository: it has no {REPOSITORY_FILE}; name the root of one, or no path for ordain's own rules"
        raise InputError(message)
    documents = parse_file(REPOSITORY_FILE, file.read_bytes()).documents
    return next((document for document in documents if document.kind == "Repository"), None)


def _judge(path: Path | None, opa: Path) -> Judge:
    if path is None:
        return load(MemoryTree({}), None, layout_of(None), opa=opa)
    repository = _repository(path)
    try:
        return load(DirectoryTree(path), repository.value if repository else None, layout_of(repository), opa=opa)
    except JudgeRefused as refusal:
        for finding in refusal.findings:
            click.echo(f"{finding.place.file}:{finding.place.line or 1}: {finding.message}", err=True)
        sys.exit(REFUSED)


def _as_text(report: Report) -> str:
    """Return a report for people: what failed, each with its place, then one line that sums up."""
    lines = [f"{each.place.file}:{each.place.line or 1}: {each.message}\n    {each.remedy}" for each in report.findings]
    lines += [f"{each.file}:{each.line}: {each.package}.{each.name}: {each.message}" for each in report.tests if not each.passed]
    lines += [f"{each.file}:{wrong.line}: {wrong.message}" for each in report.examples for wrong in each.mismatches]
    failed = len(lines)
    counted = ", ".join([_counted(report.rules, "rule"), _counted(report.tests, "Rego test"), _counted(report.examples, "example")])
    if report.findings:
        return "\n".join([*lines, "nothing was tested, since these rules don't compile"])
    lines += [f"{rule}: no test; write one in a file that ends in _test.rego, or an example" for rule in report.untested]
    return "\n".join([*lines, f"{counted}: {f'{failed} failed' if failed else 'all pass'}"])


def _counted(found: Sized, what: str) -> str:
    return f"{len(found)} {what}{'' if len(found) == 1 else 's'}"


def _as_json(report: Report) -> dict[str, object]:
    faults = [
        {"file": each.place.file, "line": each.place.line or 1, "code": each.code, "message": each.message, "remedy": each.remedy}
        for each in report.findings
    ]
    tests = [
        {"package": each.package, "name": each.name, "file": each.file, "line": each.line, "passed": each.passed, "message": each.message}
        for each in report.tests
    ]
    shown = [
        {
            "rule": each.rule,
            "file": each.file,
            "passed": each.passed,
            "mismatches": [{"line": wrong.line, "message": wrong.message} for wrong in each.mismatches],
        }
        for each in report.examples
    ]
    rules = {"rules": list(report.rules), "untested": list(report.untested)}
    return {"passed": report.passed, **rules, "findings": faults, "tests": tests, "examples": shown}
