"""`ordain rollout wait`: a pipeline of CI goes on, or not, by what became of a release."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from agent.protocol.errors import InputError, RefusedError, RetryError
from reconciler.cli.connection import FORMAT, Server, reach, reaching
from reconciler.cli.instants import as_seconds
from reconciler.cli.rollout import FLEET, SHORT, fleet_of, headline, path_of, reason_back, release, still
from reconciler.printable import printable

LOOK_EVERY = 1.0
"""Seconds between looks."""
REVISION = re.compile(r"[0-9a-f]{7,64}")
"""A commit, by as many digits as tell it from others."""
DIGITS = 40
"""Digits of a commit that are asked for: more tell nothing more."""
CODES = {"done": 0, "taken back": 1, "superseded": 1, "refused": 1, "going": 4}
Outcome = Literal["done", "taken back", "superseded", "refused", "going"]
_OUTCOMES: Mapping[str, Outcome] = {"stable": "done", "taken-back": "taken back", "superseded": "superseded", "refused": "refused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known: how the rollout stands, None for nothing yet, and what became of the commit that is waited for, {} where none is."""

    row: dict[str, Any] | None
    outcome: Outcome
    fate: Mapping[str, Any] = field(default_factory=dict)


@click.command()
@FLEET
@click.option("--commit", metavar="REV", help="The commit whose release is waited for, by 7 digits or more. [default: the newest]")
@click.option("--timeout", default="30m", show_default=True, callback=as_seconds, help="How long to wait.")
@FORMAT
@reaching
@click.pass_context
def wait(  # noqa: PLR0917 - click passes options by name
    ctx: click.Context, name: str, commit: str | None, timeout: int, form: str, state: Path | None, server: str | None
) -> None:
    """Wait until a rollout is over: exit code 0 done, 1 it did not become stable, 4 still going when the time is up.

    With --commit a release that is not there yet is waited for too. It is the commit that ordain status shows for the fleet: the last
    one that changed what its hosts get. One that was stable is done, also where another one is by now; one that was taken back, that
    policy refused, or that a newer one overtook ends with 1 at once.

    \b
    Example:
      ordain rollout wait shop/web --commit "$GIT_COMMIT" --timeout 2h
    """
    place = fleet_of(name)
    if commit is not None and not REVISION.fullmatch(commit.lower()):
        message = f"--commit {commit!r}: write 7 digits of it or more"
        raise InputError(message)
    commit = commit.lower()[:DIGITS] if commit else None
    connect = partial(reach, state=state, server=server)
    seen = _waited(connect, place, commit, time.monotonic() + timeout, restarts=state is not None)
    if form == "json":
        said = {"outcome": seen.outcome, "why": seen.fate.get("why", ""), "by": seen.fate.get("by", ""), "rollout": seen.row}
        click.echo(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        for line in _told(connect, place, seen):
            click.echo(printable(line), err=True)
    ctx.exit(CODES[seen.outcome])


def _waited(connect: Callable[[], Server], name: str, commit: str | None, until: float, *, restarts: bool) -> Seen:
    """Return how the rollout stood last, and what became of it; what is said on the way goes to stderr.

    The server is reached anew at each look: one that `restarts` on this machine has another token then. A refusal is never taken for
    an outcome: a pipeline reads 1 as "it did not become stable".
    """
    said, seen = "", Seen(row=None, outcome="going")
    while True:
        try:
            seen = _seen(connect(), name, commit)
        except RetryError:
            if time.monotonic() >= until:
                raise  # a serve that is restarted is waited for, one that stays away is not
        except RefusedError as error:
            if not restarts or time.monotonic() >= until:
                message = f"what became of {name} can't be told: {error}"
                raise RetryError(message) from error
        if seen.outcome != "going" or time.monotonic() >= until:
            return seen
        now = f"{name}: {_now(seen)}" if seen.row or seen.fate else said
        if now != said:
            click.echo(printable(now), err=True)
        said = now
        time.sleep(min(LOOK_EVERY, max(until - time.monotonic(), 0.0)))


def _seen(server: Server, name: str, commit: str | None) -> Seen:
    """Look once; raise `InputError` where there is no such fleet, or none yet and no commit may bring it."""
    if commit is None:
        row = _row(server, name) or server.ask("GET", path_of(name))  # which says what is missing: the fleet, or its first release
        return Seen(row=row, outcome=outcome_of(row))
    fate = server.ask("GET", f"{path_of(name)}/commits/{commit}")
    return Seen(row=fate["rollout"], outcome=_OUTCOMES.get(fate["outcome"], "going"), fate=fate)


def _now(seen: Seen) -> str:
    """Return where a rollout is; where it is about another commit than the one that is waited for, that first."""
    row, fate = seen.row, seen.fate
    if row is None:
        return str(fate["why"])
    nothing = f"nothing of commit {fate['commit'][:SHORT]} yet; " if fate and fate["outcome"] == "unknown" else ""
    git = still(row)
    return f"{nothing}{headline(row)}{f'; {git}' if git else ''}"


def _told(connect: Callable[[], Server], name: str, seen: Seen) -> Iterator[str]:
    """Yield what became of it, for the log of CI."""
    row, fate, outcome = seen.row, seen.fate, seen.outcome
    if outcome == "taken back" and row is not None and fate.get("digest", row["refused"]) == row["refused"]:
        yield f"{name}: {headline(row)}"
        yield from (f"  {line}" for line in _reasons(connect(), name))
    elif outcome == "going" or not fate:
        why = f": {row['why']}" if row is not None and row["why"] and outcome == "going" else ""
        yield f"{name}: {outcome}: {_now(seen)}{why}"
    else:
        yield f"{name}: {outcome}: {_ended(fate)}"
        if row is not None:
            stable = release(row["stable"], row["stableCommit"])
            yield f"{name}: {stable or 'nothing'} is stable"


def _ended(fate: Mapping[str, Any]) -> str:
    """Return what became of a commit of which nothing more is to be expected."""
    what, why = f"commit {fate['commit'][:SHORT]}", f": {fate['why']}" if fate["why"] else ""
    said = {
        "stable": f"{what} became stable for everybody at {fate['at']}",
        "taken-back": f"{what} was taken back at {fate['at']}{why}",
        "superseded": f"{what} never was stable, and will not be: commit {fate['by'][:SHORT]} came before it was",
        "refused": f"{what} was refused at {fate['at']}, and has no release{why}",
    }
    return said[fate["outcome"]]


def _reasons(server: Server, name: str) -> Iterator[str]:
    """Yield why a release was taken back, and what the hosts said that failed: for whoever reads the log of CI."""
    found = server.ask("GET", path_of(name))
    if why := reason_back(found):
        yield why
    yield from (f"{one['agent']}: {one['why'] or one['result']}" for one in found["failed"])


def _row(server: Server, name: str) -> dict[str, Any] | None:
    tenant, _, fleet = name.partition("/")
    rows = server.ask("GET", "/api/v1/rollouts", query={"tenant": tenant})["rollouts"]
    return next((row for row in rows if row["fleet"] == fleet), None)


def outcome_of(row: dict[str, Any]) -> Outcome:
    """Return what became of the newest release."""
    if row["phase"] == "stopped":
        return "taken back"
    return "done" if row["phase"] == "settled" and row["stable"] else "going"
