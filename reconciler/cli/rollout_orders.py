"""`ordain rollout pause|resume|approve|abort|rollback|retry`: orders, each with who and why in the audit."""

import json
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import RefusedError
from reconciler.cli.connection import FORMAT, REASON, reach, reaching
from reconciler.cli.rollout import FLEET, path_of
from reconciler.printable import printable


@click.command()
@FLEET
@REASON
@FORMAT
@reaching
def pause(name: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Hold a rollout where it is: who has the candidate keeps it, nobody else gets it.

    It holds this release alone: one that is newer, also one that waits already, takes its place, and begins with the first wave. Where
    one waits, ordain freeze --fleet in place of this holds everything where it is.

    \b
    Example:
      ordain rollout pause shop/web --reason "odd latency, INC-4711"
    """
    _order(name, "pause", {"reason": reason}, form=form, state=state, server=server)


@click.command()
@FLEET
@REASON
@FORMAT
@reaching
def resume(name: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Go on with a rollout that was paused; the wave's soak begins anew.

    \b
    Example:
      ordain rollout resume shop/web --reason "it was the database"
    """
    _order(name, "resume", {"reason": reason}, form=form, state=state, server=server)


@click.command()
@FLEET
@click.option("--commit", default="", metavar="REV", help="Approve the release of this commit alone. [default: whichever is on its way]")
@click.option("--digest", default="", metavar="DIGEST", help="Approve this release alone, by its first digits.")
@REASON
@FORMAT
@reaching
def approve(  # noqa: PLR0917 - click passes options by name
    name: str, commit: str, digest: str, reason: str, form: str, state: Path | None, server: str | None
) -> None:
    """Approve the next wave, where its strategy wants that. Whoever asked for the rollout can't.

    With --commit or --digest nothing is approved, and the exit code is 1, where another release is on its way by then.

    \b
    Examples:
      ordain rollout approve shop/web --reason "canary looks good"
      ordain rollout approve shop/web --commit 3f9a12c --reason "looked at its plan"
    """
    _order(name, "approve", {"reason": reason, "commit": commit, "digest": digest}, form=form, state=state, server=server)


@click.command()
@FLEET
@REASON
@FORMAT
@reaching
def abort(name: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Take the release back that is being rolled out: all go back to the stable one. No freeze and no window stands in the way.

    \b
    Example:
      ordain rollout abort shop/web --reason "INC-4711"
    """
    _order(name, "abort", {"reason": reason}, form=form, state=state, server=server)


@click.command()
@FLEET
@click.option("--to", default="", metavar="DIGEST", help="An earlier stable release, by its first digits. [default: the one before]")
@REASON
@FORMAT
@reaching
def rollback(  # noqa: PLR0917 - click passes options by name
    name: str, to: str, reason: str, form: str, state: Path | None, server: str | None
) -> None:
    """Go back, everybody at once: from a candidate to the stable release, from that to the one before. Needs no git revert.

    The newest release is not offered again until a new commit, or ordain rollout retry.

    \b
    Examples:
      ordain rollout rollback shop/web --reason "INC-4711"
      ordain rollout rollback shop/web --to 3f9a12 --reason "INC-4711"
    """
    _order(name, "rollback", {"reason": reason, "to": to}, form=form, state=state, server=server)


@click.command()
@FLEET
@REASON
@FORMAT
@reaching
def retry(name: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Try a release again that was taken back or paused, from the first wave on.

    \b
    Example:
      ordain rollout retry shop/web --reason "the canary's disk was full"
    """
    _order(name, "retry", {"reason": reason}, form=form, state=state, server=server)


def _order(name: str, kind: str, said: dict[str, str], *, form: str, state: Path | None, server: str | None) -> None:
    say(reach(state=state, server=server).ask("POST", f"{path_of(name)}/{kind}", body=said), form)


def say(done: dict[str, Any], form: str) -> None:
    """Print what came of an order; raise `RefusedError` where there was nothing to do for it."""
    if form == "json":
        click.echo(json.dumps(done, indent=2, ensure_ascii=False))
    if done.get("ignored"):
        message = f"{done['target']}: {printable(done['why'])}"
        raise RefusedError(message)
    if form == "json":
        return
    for one in done["happened"]:
        click.echo(f"{done['target']}: {printable(one['why'])}", err=True)
    if not done["followed"]:
        click.echo(f"{done['target']}: ordered, and not followed yet: whichever serve leads next follows it", err=True)
