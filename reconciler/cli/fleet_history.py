"""`ordain history`: the releases of a fleet, and what each changed."""

import difflib
import json
from collections.abc import Iterator
from typing import Any

import click

from agent.protocol.errors import RefusedError
from reconciler.cli import evidence as gathering
from reconciler.cli.progress import Progress
from reconciler.cli.release import fleet_key
from reconciler.pipeline.trail.past import Release, releases_of
from reconciler.pipeline.trail.scratch import with_all
from reconciler.pipeline.trail.trees import Trees
from reconciler.printable import clipped, printable

SHORT = 12
LISTED = 300
"""Characters of a list of fleets in a message."""
"""Characters of a commit or digest on a terminal; JSON has all of them."""


@click.command()
@click.argument("name", metavar="TENANT/FLEET")
@gathering.options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def history(name: str, *, form: str, **where: Any) -> None:
    """List the releases of a fleet, newest first: decision, commit and author, when it was published, and what it changed.

    With the reconciler's store it goes by signed records; without, by git notes, which don't tell when a release was published.

    Exit codes: 0 listed, 1 no release of it is known, 2 wrong usage, 3 could not be read.

    \b
    Examples:
      ordain history shop/web                            from the notes of this clone
      ordain history shop/web --state /var/lib/ordain    from the reconciler's records
    """
    fleet = "/".join(fleet_key(name))
    with Progress() as said:
        said("compiling each release again")
        evidence = gathering.gather(**where)
        decisions = evidence.decisions()
        with with_all(evidence.place.git(), evidence.store) as repository:
            found = list(releases_of(decisions, Trees(repository=repository), evidence.store, fleet))[::-1]
    if not found:
        raise RefusedError(_unknown(fleet, sorted({name for one in decisions for name in one.releases}), evidence))
    if form == "json":
        click.echo(json.dumps({"fleet": fleet, "releases": [_plain(one) for one in found]}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(line for one in found for line in _lines(one)))


def _unknown(fleet: str, known: list[str], evidence: gathering.Evidence) -> str:
    """Return what to say of a fleet that no decision released: what is called nearly so, or where decisions may be."""
    near = difflib.get_close_matches(fleet, known, n=1)
    if known:
        hint = f"did you mean {near[0]}?" if near else f"there are those of {clipped(', '.join(known), LISTED)}"
        return f"no release of {fleet} is known here; {hint}"
    fetch = "; git fetch origin 'refs/notes/ordain/*:refs/notes/ordain/*', or give --state or --store"
    return f"no release of {fleet} is known here, nor of any other fleet{'' if evidence.store is not None else fetch}"


def _lines(one: Release) -> Iterator[str]:
    how = "" if one.decision.record is not None else " (by its note)"
    yield click.style(f"{one.digest[:SHORT]}  decision {one.decision.sequence}{how}  {one.decision.at}", bold=True)
    if one.commit is not None:
        more = f" and {one.commits - 1} more" if one.commits > 1 else ""
        signed = f", signed by {', '.join(one.signers)}" if one.signers else ""
        yield f"  {one.commit.sha[:SHORT]}{more} by {printable(one.commit.author)}{signed}: {printable(one.commit.subject)}"
    else:
        yield f"  commit {one.decision.head[:SHORT]}, which is not here"
    yield f"  {printable(one.changes)}"
    if one.published:
        yield f"  published {one.published} (serial {one.serial})"


def _plain(one: Release) -> dict[str, Any]:
    commit = one.commit
    return {
        "digest": one.digest,
        "decision": {"sequence": one.decision.sequence, "at": one.decision.at, "signed": one.decision.record is not None},
        "head": one.decision.head,
        "commit": {"author": commit.author, "email": commit.email, "time": commit.time, "subject": commit.subject} if commit else None,
        "commits": one.commits,
        "signers": list(one.signers),
        "changes": one.changes,
        "published": {"at": one.published, "serial": one.serial} if one.published else None,
    }
