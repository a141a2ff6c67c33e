"""`ordain policy vendor` and `upgrade`: a fleet repository's own copy of the rule library, changed only when somebody says so."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.protocol.errors import InputError, RetryError
from reconciler.cli.judging import Bench, judge
from reconciler.cli.outcomes import outcome_of
from reconciler.opa.program import find_opa
from reconciler.pipeline.finding import Verdict
from reconciler.pipeline.manifests import REPOSITORY_FILE, DirectoryTree, layout_of, parse_file
from reconciler.pipeline.policy import vendoring
from reconciler.pipeline.policy.judge import JudgeRefused, load
from reconciler.pipeline.policy.vendoring import Overlaid, RuleChanges
from reconciler.pipeline.tree import Tree
from reconciler.publication.times import stamp

REFUSED = 1
NAMED = 8
"""Names in a line of an error."""
SHOWN = 50
"""Verdicts that text shows on each side; JSON has all."""
_DIRECTORY = click.argument("path", metavar="[DIR]", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
_FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is printed."
)
_OPA = click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an upgrade would do: versions, rules, and verdicts on this repository that would be new or gone."""

    before: str
    after: str
    altered: tuple[str, ...]
    rules: RuleChanges
    new: tuple[Verdict, ...]
    gone: tuple[Verdict, ...]
    empty: bool
    """Whether there is nothing to do."""


@click.command()
@_DIRECTORY
@_FORMAT
def vendor(path: Path, form: str) -> None:
    """Copy the rules that ordain brings into the fleet repository at DIR.

    From then on the copy judges, and an upgrade of ordain changes no verdict; `ordain policy upgrade` brings the rules of
    a newer one. Exit codes: 0 copied, 2 wrong usage or there is a copy already.

    \b
    Example:
      ordain policy vendor fleets
    """
    tree, policies = _repository(path)
    target = path / vendoring.prefix(policies).rstrip("/")
    if vendoring.vendored(tree, policies) is not None:
        message = f"{target} is there already; `ordain policy upgrade {path}` brings it up to date"
        raise InputError(message)
    files = vendoring.brought()
    _put(target, files)
    if form == "json":
        click.echo(json.dumps({"path": str(target), "version": vendoring.own_version(), "files": sorted(files)}, indent=2))
        return
    click.echo(f"{target}: {len(files)} files of ordain {vendoring.own_version()}; these rules judge from now on")


@click.command()
@_DIRECTORY
@click.option("--yes", is_flag=True, help="Do it; without this it is only shown.")
@click.option("--force", is_flag=True, help="Overwrite files that were changed by hand.")
@_FORMAT
@_OPA
def upgrade(path: Path, form: str, opa: Path | None, *, yes: bool, force: bool) -> None:
    """Show what the rules of this ordain would change in the fleet repository at DIR that has a copy of older ones; do it with --yes.

    Both copies really judge the repository, so it names the verdicts that would be new or gone.
    Exit codes: 0 shown or done, 1 files were changed by hand and nothing was done, 2 wrong usage, 3 OPA can't be run.

    \b
    Examples:
      ordain policy upgrade fleets          what would change
      ordain policy upgrade fleets --yes    change it
    """
    tree, policies = _repository(path)
    copy = vendoring.vendored(tree, policies)
    if copy is None:
        message = f"{path} has no copy of ordain's rules, so those of the ordain that judges count; `ordain policy vendor {path}` makes one"
        raise InputError(message)
    files = vendoring.brought()
    plan = _plan(tree, Overlaid(base=tree, prefix=vendoring.prefix(policies), files=files), copy, find_opa(opa))
    refused = bool(plan.altered) and not force
    if yes and not refused and not plan.empty:
        _put(path / vendoring.prefix(policies).rstrip("/"), files)
    done = yes and not refused
    click.echo(json.dumps(_as_json(plan, done=done), indent=2, ensure_ascii=False) if form == "json" else "\n".join(_as_text(plan)))
    if refused:
        remedy = "keep such rules as your own, or add --force to overwrite them"
        click.echo(f"changed or deleted by hand: {_some(plan.altered)}; {remedy}", err=True)
        sys.exit(REFUSED)
    if not done and not plan.empty:
        click.echo(f"nothing was changed; `ordain policy upgrade {path} --yes` does it", err=True)


def _some(names: Sequence[str]) -> str:
    """Return as many names as a line has room for, and how many more there are."""
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def _repository(path: Path) -> tuple[Tree, str]:
    """Return a fleet repository's files and where its policies lie; raise `InputError` where it is none."""
    file = path / REPOSITORY_FILE
    if not file.is_file():
        message = f"{path} is no fleet repository: it has no {REPOSITORY_FILE}; name the root of one"
        raise InputError(message)
    documents = parse_file(REPOSITORY_FILE, file.read_bytes()).documents
    return DirectoryTree(path), layout_of(next((one for one in documents if one.kind == "Repository"), None)).policies


def _plan(old: Tree, new: Overlaid, copy: vendoring.Vendored, opa: Path) -> Plan:
    before, after = _verdicts(old, opa), _verdicts(new, opa)
    return Plan(
        before=copy.version,
        after=vendoring.own_version(),
        altered=copy.altered,
        rules=_rules(old, new, copy, opa),
        new=tuple(one for key, one in after.items() if key not in before),
        gone=tuple(one for key, one in before.items() if key not in after),
        empty=copy.files == new.files,
    )


def _rules(old: Tree, new: Overlaid, copy: vendoring.Vendored, opa: Path) -> RuleChanges:
    """Compare two judges; raise `InputError` where the repository's rules don't compile with one of the libraries."""
    judges = []
    for tree in (old, new):
        [repository] = [one for one in parse_file(REPOSITORY_FILE, tree.read(REPOSITORY_FILE)).documents if one.kind == "Repository"]
        try:
            judges.append(load(tree, repository.value, layout_of(repository), opa=opa))
        except JudgeRefused as refusal:
            message = f"the rules of this repository don't compile: {refusal}; mend them first, or remove the copy and vendor again"
            raise InputError(message) from refusal
    return vendoring.rule_changes(judges[0], judges[1], copy.files, new.files)


def _verdicts(tree: Tree, opa: Path) -> dict[tuple[str, ...], Verdict]:
    """Return the verdicts on a whole repository by what makes them the same."""
    judgement = judge(tree, None, bench=Bench(opa=opa), now=stamp(datetime.now(tz=UTC)), revision=None)
    outcome = outcome_of(judgement, tree, revision=None, base=None)
    return {(one.action, one.rule, one.file, one.pointer, one.message): one for one in outcome.verdicts}


def _put(target: Path, files: Mapping[str, bytes]) -> None:
    """Put a directory in place as a whole; raise `RetryError` where it can't be written, with what was there still there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ordain-vendor.", dir=target.parent) as temporary:
            built, former = Path(temporary) / "built", Path(temporary) / "former"
            for name, data in files.items():
                (built / name).parent.mkdir(parents=True, exist_ok=True)
                (built / name).write_bytes(data)
            if target.exists():
                target.rename(former)
            built.rename(target)
            shutil.rmtree(former, ignore_errors=True)
    except OSError as error:
        message = f"{target}: {error.strerror or error}; see that it can be written, and try again"
        raise RetryError(message) from error


def _as_json(plan: Plan, *, done: bool) -> dict[str, object]:
    return {
        "from": plan.before,
        "to": plan.after,
        "done": done,
        "changedByHand": list(plan.altered),
        "rules": {
            "added": dict(plan.rules.added),
            "removed": list(plan.rules.removed),
            "rewritten": list(plan.rules.rewritten),
            "levels": {name: {"from": old, "to": new} for name, (old, new) in plan.rules.levels.items()},
        },
        "verdicts": {"new": [_verdict(one) for one in plan.new], "gone": [_verdict(one) for one in plan.gone]},
    }


def _verdict(one: Verdict) -> dict[str, object]:
    return {"action": one.action, "rule": one.rule, "file": one.file, "line": one.line, "pointer": one.pointer, "message": one.message}


def _as_text(plan: Plan) -> Iterator[str]:
    """Yield a plan for people: rules, then what they would say here."""
    if plan.empty:
        yield f"the copy has the rules of ordain {plan.after}: nothing to do"
        return
    yield f"rules of ordain {plan.before} -> {plan.after}"
    yield from (f"  added      {name} ({level})" for name, level in plan.rules.added.items())
    yield from (f"  removed    {name}" for name in plan.rules.removed)
    yield from (f"  rewritten  {name}" for name in plan.rules.rewritten)
    yield from (f"  level      {name}: {old} -> {new}" for name, (old, new) in plan.rules.levels.items())
    yield from _listed("verdicts on this repository that would be new", plan.new)
    yield from _listed("verdicts on this repository that would be gone", plan.gone)


def _listed(what: str, verdicts: Iterable[Verdict]) -> Iterator[str]:
    found = list(verdicts)
    yield f"{what}: {len(found) or 'none'}"
    yield from (f"  {one.file}:{one.line} {one.action} {one.rule}: {one.message}" for one in found[:SHOWN])
    if len(found) > SHOWN:
        yield f"  … and {len(found) - SHOWN} more; --format json has them all"
