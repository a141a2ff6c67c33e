"""`ordain check`: would this be accepted, and if not, on which line? No server needed."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from reconciler.pipeline.acceptance import EMPTY_CORPUS, Decision, Facts, Judges, appoint, decide
from reconciler.pipeline.finding import Action, Verdict, as_json
from reconciler.pipeline.manifests import DirectoryTree, verdict
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.policy.opa import find_opa
from reconciler.pipeline.source import CommitTree, open_repository, resolve
from reconciler.pipeline.tree import EMPTY, Tree, difference
from reconciler.publication.times import stamp

ACTIONS: tuple[Action, ...] = ("deny", "error", "warn", "audit")
COLOURS = {"deny": "bold red", "error": "bold magenta", "warn": "yellow", "audit": "cyan"}
REFUSED, UNJUDGED = 1, 3


@click.command()
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rev", help="Judge this revision of the repository at PATH instead of its files as they are.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How verdicts are printed.")
@click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
def check(path: Path, rev: str | None, form: str, opa: Path | None) -> None:
    """Judge a fleet repository by its schemas and policies.

    Exit codes: 0 accepted, 1 refused, 2 wrong usage, 3 could not be judged.

    \b
    Examples:
      ordain check                         the directory you are in
      ordain check fleets --rev main~1     a revision
      ordain check fleets --format json    for machines
    """
    tree, revision = _tree(path, rev)
    decision = judge_tree(tree, opa=find_opa(opa), now=stamp(datetime.now(tz=UTC)), revision=revision)
    verdicts = [verdict(one.finding, tree.read, standing=one.standing) for one in decision.judged]
    verdicts.sort(key=lambda one: (one.file, one.line, one.column, ACTIONS.index(one.action), one.rule, one.message))
    report(verdicts, accepted=decision.accepted, revision=revision, form=form)
    counts = Counter(one.action for one in verdicts)
    sys.exit(UNJUDGED if counts["error"] else 0 if decision.accepted else REFUSED)


def judge_tree(tree: Tree, *, opa: Path, now: str, revision: str | None) -> Decision:
    """Decide on a whole snapshot as if it were a first import."""
    appointment = appoint(tree, opa=opa)
    facts = Facts(before=None, head=revision, now=now)
    changed = difference(EMPTY, tree)
    if appointment.judge is None:
        judges = Judges(before=None, refused=appointment.findings)
        return decide(EMPTY_CORPUS, tree, changed, layout=appointment.layout, judges=judges, facts=facts)
    with Policies(appointment.judge, opa=opa) as policies:
        judges = Judges(before=None, own=policies, refused=appointment.findings)
        return decide(
            EMPTY_CORPUS, tree, changed, layout=appointment.layout, judges=judges, facts=facts, bundle_format=appointment.bundle_format
        )


def _tree(path: Path, rev: str | None) -> tuple[Tree, str | None]:
    if rev is None:
        return DirectoryTree(path), None
    repository = open_repository(path)
    revision = resolve(repository, rev)
    return CommitTree(repository, revision), revision


def report(verdicts: Iterable[Verdict], *, accepted: bool, revision: str | None, form: str) -> None:
    """Print verdicts for people or for machines."""
    verdicts = list(verdicts)
    counts: Counter[Action] = Counter(one.action for one in verdicts)
    if form == "json":
        document = {
            "accepted": accepted,
            "revision": revision,
            "counts": {action: counts[action] for action in ACTIONS},
            "verdicts": [as_json(one) for one in verdicts],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    for one in verdicts:
        _print(console, one)
    total = ", ".join(f"{counts[action]} {action}" for action in ACTIONS if counts[action]) or "nothing found"
    outcome = (
        Text("accepted", style="bold green") if accepted else Text("could not judge" if counts["error"] else "refused", style="bold red")
    )
    console.print(Text.assemble(outcome, f": {total}"))


def _print(console: Console, one: Verdict) -> None:
    head = Text.assemble(
        (f"{one.file}:{one.line}:{one.column}", "bold"),
        " ",
        (one.action, COLOURS[one.action]),
        " ",
        one.rule,
        " (standing)" if one.standing else "",
    )
    console.print(head)
    console.print(Text(f"  {one.message}"))
    if one.source_line:
        number = str(one.line)
        console.print(Text(f"  {number} | {one.source_line}", style="dim"))
        console.print(Text(" " * (len(number) + 4 + one.column) + "^", style=COLOURS[one.action]))
    if one.remedy:
        console.print(Text(f"  remedy: {one.remedy}"))
    console.print()
