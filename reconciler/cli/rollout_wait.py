"""`ordain rollout wait`: a pipeline of CI goes on, or not, by what became of a release."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from agent.protocol.errors import InputError, RefusedError, RetryError
from reconciler.cli.connection import FORMAT, Server, reach, reaching
from reconciler.cli.instants import as_seconds
from reconciler.cli.rollout import FLEET, SHORT, fleet_of, headline, path_of, reason_back
from reconciler.printable import printable

LOOK_EVERY = 1.0
"""Seconds between looks."""
REVISION = 7
"""Digits of a commit that tell it from others."""
CODES = {"done": 0, "taken back": 1, "going": 4}
Outcome = Literal["done", "taken back", "going"]


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
    """Wait until a rollout is over: exit code 0 done, 1 taken back, 4 still going when the time is up.

    With --commit a release that is not there yet is waited for too. It is the commit that ordain status shows for the fleet: the last
    one that changed what its hosts get.

    \b
    Example:
      ordain rollout wait shop/web --commit "$GIT_COMMIT" --timeout 2h
    """
    place = fleet_of(name)
    if commit is not None and len(commit) < REVISION:
        message = f"--commit {commit!r}: write {REVISION} digits of it or more"
        raise InputError(message)
    connect = partial(reach, state=state, server=server)
    row, outcome = _waited(connect, place, commit, time.monotonic() + timeout, restarts=state is not None)
    if form == "json":
        click.echo(json.dumps({"outcome": outcome, "rollout": row}, indent=2, ensure_ascii=False))
    else:
        for line in _told(connect, place, commit, row, outcome):
            click.echo(printable(line), err=True)
    ctx.exit(CODES[outcome])


def _waited(
    connect: Callable[[], Server], name: str, commit: str | None, until: float, *, restarts: bool
) -> tuple[dict[str, Any] | None, Outcome]:
    """Return how the rollout stood last, and what became of it; what is said on the way goes to stderr.

    The server is reached anew at each look: one that `restarts` on this machine has another token then. A refusal is never taken for
    an outcome: a pipeline reads 1 as "taken back".
    """
    said, row = "", None
    while True:
        try:
            row = _row(connect(), name)
        except RetryError:
            if time.monotonic() >= until:
                raise  # a serve that is restarted is waited for, one that stays away is not
        except RefusedError as error:
            if not restarts or time.monotonic() >= until:
                message = f"what became of {name} can't be told: {error}"
                raise RetryError(message) from error
        else:
            if row is None and commit is None:
                row = connect().ask("GET", path_of(name))  # says what is missing: the fleet, or its first release
        outcome = outcome_of(row, commit) if row else "going"
        if outcome != "going" or time.monotonic() >= until:
            return row, outcome
        now = f"{name}: {_now(row, commit)}" if row else said
        if now != said:
            click.echo(printable(now), err=True)
        said = now
        time.sleep(min(LOOK_EVERY, max(until - time.monotonic(), 0.0)))


def _now(row: dict[str, Any], commit: str | None) -> str:
    """Return where a rollout is; where it is about another commit than the one that is waited for, that first."""
    about = (row["commit"], row["stableCommit"], row["refusedCommit"])
    other = commit is not None and not any(one.startswith(commit) for one in about)
    return f"nothing of commit {(commit or '')[:SHORT]} yet; {headline(row)}" if other else headline(row)


def _told(connect: Callable[[], Server], name: str, commit: str | None, row: dict[str, Any] | None, outcome: Outcome) -> Iterator[str]:
    """Yield what became of it, for the log of CI."""
    if row is None:
        yield f"{name}: going: {_unknown(connect(), name)}"
    elif outcome == "taken back":
        yield f"{name}: {headline(row)}"
        yield from (f"  {line}" for line in _reasons(connect(), name))
    else:
        why = f": {row['why']}" if row["why"] and outcome == "going" else ""
        yield f"{name}: {outcome}: {_now(row, commit)}{why}"


def _unknown(server: Server, name: str) -> str:
    """Return what is missing where no rollout is known: the fleet, or its first release."""
    try:
        server.ask("GET", path_of(name))
    except InputError as error:
        return str(error)
    return "its first release has just come"


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


def outcome_of(row: dict[str, Any], commit: str | None) -> Outcome:
    """Return what became of a commit's release, or of whichever is the newest."""
    if row["phase"] == "stopped" and row["refusedCommit"].startswith(commit or ""):
        return "taken back"
    settled = row["phase"] == "settled" if commit is None else row["stableCommit"].startswith(commit)
    return "done" if settled and row["stable"] else "going"
