"""`ordain plan`: what a change would do to hosts, before it is merged. No server needed."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from reconciler.cli.instants import as_instant
from reconciler.cli.judging import Bench, opened
from reconciler.cli.memory import Memory
from reconciler.cli.planned import FORMATS, render
from reconciler.cli.planning import Wanted, plan_of
from reconciler.cli.progress import Progress
from reconciler.cli.sources import Base, head_of, merge_base_of, place_of
from reconciler.opa.program import cache_directory, find_opa
from reconciler.pipeline.plan.live import Asked
from reconciler.pipeline.plan.shape import Plan
from reconciler.pipeline.tree import Tree
from reconciler.publication.times import instant, stamp

REFUSED, UNJUDGED = 1, 3


@click.command()
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--base", help="Plan the change from where this revision and the head part; left out: the default branch, else HEAD.")
@click.option("--head", default=".", show_default=True, help="Plan the change to this revision; `.` is the files as they are.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="How the plan is printed.")
@click.option("--all", "everything", is_flag=True, help="Name every host and every fleet.")
@click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
@click.option(
    "--at", metavar="TIME", callback=as_instant, help="Plan as on this day (2027-01-15) or at this instant, UTC: when it is merged."
)
@click.option("--no-cache", is_flag=True, help="Work everything out anew, and remember nothing.")
@click.option("--server", help="Say beside it what this server knows of the hosts now.")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="The same, of the server of this state directory.")
def plan(
    path: Path,
    base: str | None,
    head: str,
    form: str,
    opa: Path | None,
    *,
    everything: bool,
    at: str | None,
    no_cache: bool,
    server: str | None,
    state: Path | None,
) -> None:
    """Show what a change would do: which hosts, how, in which waves, whether it is allowed, and on which line it is not.

    Exit codes: 0 nothing is refused, 1 refused, 2 wrong usage, 3 could not be judged.

    \b
    Examples:
      ordain plan                                    your files against the default branch
      ordain plan fleets --base main --head topic    a branch
      ordain plan fleets --format markdown           for a comment on a pull request
      ordain plan fleets --format html > plan.html   for somebody else to read
      ordain plan --at 2027-01-15T09:00:00Z          as if it were merged then: which wave when, which waivers have ended
      ordain plan --server https://ordain.example.com:8420   which of the hosts are offline, drifted, held or quarantined now
    """
    live = _asked(state, server)
    found = worked_out(
        path, base=base, head=None if head == "." else head, opa=opa, everything=everything, at=at, no_cache=no_cache, live=live
    )
    click.echo(render(found, form))
    sys.exit(exit_code(found))


def _asked(state: Path | None, server: str | None) -> Asked | None:
    """Return who is asked about hosts, nobody where no server is named; what speaks to servers is loaded only then."""
    if state is None and not server:
        return None
    from reconciler.cli.connection import reach  # noqa: PLC0415
    from reconciler.cli.live import LiveFacts  # noqa: PLC0415

    return LiveFacts(reach(state=state, server=server))


def exit_code(found: Plan) -> int:
    """Return the exit code that says what came of a plan."""
    return UNJUDGED if found.unjudged else 0 if found.accepted else REFUSED


def worked_out(
    path: Path,
    *,
    base: str | None,
    head: str | None,
    opa: Path | None,
    everything: bool = False,
    at: str | None = None,
    no_cache: bool = False,
    live: Asked | None = None,
) -> Plan:
    """Return the plan of a change; `head` None is for the files as they are, `base` None for the default branch, `at` None for now.

    `live` is asked what hosts say now.

    Raises:
        InputError: no such revision, or no git repository.
        RetryError: there is no OPA.
    """
    place = place_of(path)
    memory = None if no_cache else Memory(cache_directory(os.environ) / "check", place.path)
    tree, revision = head_of(place, head, known=memory.files if memory is not None else None)
    start = merge_base_of(place, base, revision)
    wanted = Wanted(base=start.revision if start else None, head=revision, now=_time(at), all=everything, prefix=place.prefix, live=live)
    with Progress() as told:
        told("looking at files")
        return _plan(tree, start, Bench(opa=find_opa(opa), memory=memory, told=told, eager=True), wanted)


def _plan(tree: Tree, base: Base | None, bench: Bench, wanted: Wanted) -> Plan:
    with opened(tree, base, bench=bench, now=stamp(wanted.now), revision=wanted.head) as judged:
        found = plan_of(judged, wanted)
    if bench.memory is not None:
        bench.memory.files.save()
    return found


def _time(at: str | None) -> datetime:
    """Return the time that a plan is for, to the second, as decisions have it."""
    return instant(at, what="--at") if at else datetime.now(tz=UTC).replace(microsecond=0)
