"""`ordain check`: would this be accepted, and if not, on which line? No server needed.

What was found out once is not worked out again: where nothing changed at all, not even OPA is started. So what judges is imported
only when it is needed.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from reconciler.cli.instants import as_instant
from reconciler.cli.memory import Kept, Memory, request_key
from reconciler.cli.progress import Progress
from reconciler.cli.report import FORMATS, Outcome, render
from reconciler.cli.sources import Base, base_of, head_of, place_of
from reconciler.opa.program import cache_directory, find_opa
from reconciler.pipeline.tree import Tree
from reconciler.publication.times import stamp

REFUSED, UNJUDGED = 1, 3


@click.command()
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rev", help="Judge this revision of the repository at PATH instead of its files as they are.")
@click.option("--base", help="Judge the change from this revision, all of which is taken as accepted.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="How verdicts are printed.")
@click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
@click.option(
    "--at", metavar="TIME", callback=as_instant, help="Judge as on this day (2027-01-15) or at this instant (2027-01-15T09:00:00Z), UTC."
)
@click.option("--no-cache", is_flag=True, help="Work everything out anew, and remember nothing.")
@click.option("--verbose", is_flag=True, help="Say on stderr what was known from before, and how long it took.")
def check(
    path: Path, rev: str | None, base: str | None, form: str, opa: Path | None, *, at: str | None, no_cache: bool, verbose: bool
) -> None:
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
      ordain check fleets --at 2027-01-15       as on that day: which waivers have ended, which rules deny
    """
    started = time.monotonic()
    place = place_of(path)
    memory = None if no_cache else Memory(cache_directory(os.environ) / "check", place.path)
    tree, revision = head_of(place, rev, known=memory.files if memory is not None else None)
    start = base_of(place, base, revision) if base is not None else None
    now = at or stamp(datetime.now(tz=UTC))
    with Progress() as told:
        told("looking at files")
        outcome = _outcome(tree, revision, start, opa=find_opa(opa), memory=memory, prefix=place.prefix, told=told, now=now)
    click.echo(render(outcome, form))
    if verbose:
        click.echo(_summary(memory, time.monotonic() - started), err=True)
    sys.exit(UNJUDGED if outcome.unjudged else 0 if outcome.accepted else REFUSED)


def _outcome(
    tree: Tree, revision: str | None, base: Base | None, *, opa: Path, memory: Memory | None, prefix: str, told: Progress, now: str
) -> Outcome:
    """Return the outcome, remembered or worked out."""
    if memory is None:
        return _work_out(tree, revision, base, opa=opa, memory=None, prefix=prefix, told=told, now=now).outcome
    key = request_key(tree, revision, base, opa, prefix)
    memory.files.save()
    kept = memory.recall(key)
    if (
        kept is not None
        and kept.holds(now)
        and (kept.change is None or _still_said(kept, tree, base, opa=opa, memory=memory, told=told, now=now))
    ):
        memory.told = "outcome known"
        return kept.outcome
    kept = _work_out(tree, revision, base, opa=opa, memory=memory, prefix=prefix, told=told, now=now)
    if kept.lasting:
        memory.keep(key, kept)
    return kept.outcome


def _still_said(kept: Kept, tree: Tree, base: Base | None, *, opa: Path, memory: Memory, told: Progress, now: str) -> bool:
    """Return whether the change rules, which may read the time, say the same now."""
    from reconciler.cli.judging import Bench, ask_again  # noqa: PLC0415 - half a second, where time can make no difference

    told("asking the rules that read the time")
    return ask_again(tree, base, kept.change or {}, bench=Bench(opa=opa, memory=memory), now=now) == kept.said


def _work_out(
    tree: Tree, revision: str | None, base: Base | None, *, opa: Path, memory: Memory | None, prefix: str, told: Progress, now: str
) -> Kept:
    from reconciler.cli.judging import Bench, judge  # noqa: PLC0415 - half a second, where the outcome is known
    from reconciler.cli.outcomes import kept_of  # noqa: PLC0415

    judgement = judge(tree, base, bench=Bench(opa=opa, memory=memory, told=told), now=now, revision=revision)
    return kept_of(judgement, tree, now=now, revision=revision, base=base, prefix=prefix, memory=memory)


def _summary(memory: Memory | None, seconds: float) -> str:
    if memory is None:
        return f"nothing was looked up in the cache; {seconds:.2f} s"
    dropped = f", {memory.sealed.dropped} broken entries dropped" if memory.sealed.dropped else ""
    return f"{memory.told}; {memory.files.reused} files unchanged on disk{dropped}; {seconds:.2f} s"
