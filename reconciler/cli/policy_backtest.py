"""`ordain policy backtest`: what a rule, or a branch's policies, would have refused of what was merged."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.protocol.errors import InputError
from reconciler.cli import sources
from reconciler.cli.backtested import FORMATS, render
from reconciler.cli.backtesting import Asked, Desk, of_branch, of_rule, replay_of, state_directory
from reconciler.cli.instants import as_beginning
from reconciler.cli.policy_source import OPA, UNJUDGED, judge_of, place_of, rule_of
from reconciler.cli.progress import Progress
from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance import appoint
from reconciler.pipeline.backtest.history import STEPS_LIMIT, History, history_of
from reconciler.pipeline.policy.judge import Judge, Rule
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.source import resolve
from reconciler.publication.times import stamp

CALLERS = 2
"""Requests at a time unless said otherwise: more gain nothing on two cores."""


@click.command()
@click.argument("what", metavar="RULE|BRANCH")
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--since", default="90d", show_default=True, callback=as_beginning, help="How far back: 90d, or a day such as 2026-09-01.")
@click.option("--rev", default="HEAD", show_default=True, help="The newest commit to look at: the branch that is followed.")
@click.option("--incident", "incidents", multiple=True, metavar="REV", help="A commit that did harm: was it caught? May be repeated.")
@click.option(
    "--limit", default=STEPS_LIMIT, show_default=True, type=click.IntRange(1, STEPS_LIMIT), help="Commits to look at, the newest."
)
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop after so long; the next run goes on from there.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=min(CALLERS, os.cpu_count() or 1), show_default=True, help="Requests at a time."
)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="How it is printed.")
@OPA
def backtest(
    what: str,
    path: Path,
    *,
    since: str,
    rev: str,
    incidents: tuple[str, ...],
    limit: int,
    minutes: float | None,
    jobs: int,
    form: str,
    opa: Path | None,
) -> None:
    """Replay RULE over what was merged: which commits it would have refused, which objects, by whom, and whether rightly.

    RULE is an id, its end, or a file as it lies in PATH, committed or not, off or not; it is taken to deny everywhere. BRANCH is any
    revision: its policies, at their levels, are held against those that each commit was judged by.

    Only what differs between two commits is looked at, and a version of a manifest is judged once. A run that was stopped or killed
    goes on where it was.

    Exit codes: 0 replayed, whatever was found; 1 the rules don't compile, 2 wrong usage, 3 something could not be judged, or time is up.

    \b
    Examples:
      ordain policy backtest files/not-in-tmp                       the last 90 days
      ordain policy backtest custom/files/not-in-tmp fleets --since 365d --incident 4f2a91c
      ordain policy backtest tighter-rules fleets --format markdown     a branch, for its pull request
    """
    place, found = sources.place_of(path), find_opa(opa)
    head = resolve(place.git(), rev)
    rule, judge = _chosen(what, path, place, found)
    with Progress() as told:
        told("reading history")
        desk = Desk(
            repository=place.git(),
            prefix=place.prefix,
            history=_checked(history_of(place.git(), head, since=since, prefix=place.prefix, limit=limit)),
            opa=found,
            jobs=jobs,
            sealed=Sealed(state_directory()),
            seconds=60 * minutes if minutes is not None else None,
            told=told,
        )
        done = of_rule(rule, judge, desk) if rule is not None else of_branch(judge, desk, now=stamp(datetime.now(tz=UTC)))
        told("looking up lines and authors")
        replay = replay_of(done, desk, Asked(subject=rule.id if rule else what, digest=judge.digest, since=since, incidents=incidents))
    click.echo(render(replay, form))
    sys.exit(UNJUDGED if replay.side.troubles or done.left else 0)


def _chosen(what: str, path: Path, place: sources.Place, opa: Path) -> tuple[Rule | None, Judge]:
    """Return the rule that is named, with the judge that it lies in; or no rule, and the judge of the branch that is named.

    Raises:
        InputError: it is neither.
    """
    judge = judge_of(place_of(path), opa)
    try:
        return rule_of(judge, what), judge
    except InputError as no_rule:
        try:
            tree, _ = sources.head_of(place, what)
        except InputError as no_branch:
            message = f"{what[:80]!r} is neither a rule nor a branch: {no_rule}"
            raise InputError(message) from no_branch
    appointed = appoint(tree, opa=opa)
    if appointed.judge is None:
        reasons = "; ".join(f"{one.place.file}: {one.message}" for one in appointed.findings[:3])
        message = f"the policies of {what} can't judge: {reasons}"
        raise InputError(message)
    return None, appointed.judge


def _checked(history: History) -> History:
    if not history.steps:
        message = "no commit of this history is that recent; name an earlier time with --since, or fetch more of it if the clone is shallow"
        raise InputError(message)
    return history
