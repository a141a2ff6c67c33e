"""`ordain check`: would this be accepted, and if not, on which line? No server needed."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from reconciler.cli.judging import Judgement, judge_change, judge_tree
from reconciler.cli.report import FORMATS, Outcome, render
from reconciler.cli.report.outcome import ACTIONS
from reconciler.cli.sources import base_of, head_of, place_of
from reconciler.pipeline.descriptions import of_judge, structural
from reconciler.pipeline.manifests import verdict
from reconciler.pipeline.policy.opa import find_opa
from reconciler.pipeline.tree import Tree
from reconciler.publication.times import stamp

REFUSED, UNJUDGED = 1, 3


@click.command()
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rev", help="Judge this revision of the repository at PATH instead of its files as they are.")
@click.option("--base", help="Judge the change from this revision, all of which is taken as accepted.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="How verdicts are printed.")
@click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
def check(path: Path, rev: str | None, base: str | None, form: str, opa: Path | None) -> None:
    """Judge a fleet repository by its schemas and policies.

    Without --base all of it is judged, as at a first import. With it, rules see what changed, as when a reconciler
    takes it: verdicts that the base had already are shown as standing, and refuse nothing.

    Exit codes: 0 accepted, 1 refused, 2 wrong usage, 3 could not be judged.

    \b
    Examples:
      ordain check                              the directory you are in
      ordain check fleets --rev main~1          a revision
      ordain check fleets --base origin/main    what this branch changes
      ordain check fleets --format sarif        for code scanning
    """
    place = place_of(path)
    tree, revision = head_of(place, rev)
    start = base_of(place, base, revision) if base is not None else None
    binary, now = find_opa(opa), stamp(datetime.now(tz=UTC))
    if start is None:
        judgement = judge_tree(tree, opa=binary, now=now, revision=revision)
    else:
        judgement = judge_change(start, tree, opa=binary, now=now, revision=revision)
    outcome = outcome_of(judgement, tree, revision=revision, base=start.revision if start else None, prefix=place.prefix)
    click.echo(render(outcome, form))
    sys.exit(UNJUDGED if outcome.unjudged else 0 if outcome.accepted else REFUSED)


def outcome_of(judgement: Judgement, tree: Tree, *, revision: str | None, base: str | None, prefix: str = "") -> Outcome:
    """Return what is reported of a decision: verdicts by file and line, and what their rules say of themselves."""
    judged = judgement.decision.judged
    verdicts = [verdict(one.finding, tree.read, standing=one.standing, blocks_standing=one.blocks_standing) for one in judged]
    verdicts.sort(key=lambda one: (one.file, one.line, one.column, ACTIONS.index(one.action), one.rule, one.message))
    named = {one.rule for one in verdicts}
    rules = {one.id: one for one in structural() if one.id in named}
    for judge in judgement.judges:
        rules |= {one.id: one for one in of_judge(judge)}
    return Outcome(
        verdicts=tuple(verdicts),
        accepted=judgement.decision.accepted,
        revision=revision,
        base=base,
        judge_changed=judgement.before is not None and judgement.own is not None,
        loosened=judgement.loosened,
        rules=dict(sorted(rules.items())),
        prefix=prefix,
    )
