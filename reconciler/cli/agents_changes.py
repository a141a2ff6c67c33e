"""`ordain agents revoke|quarantine|release|decommission`: what an operator does to one agent, and why."""

import json
from pathlib import Path

import click

from reconciler.cli.agents import path_of
from reconciler.cli.connection import FORMAT, REASON, reach, reaching

NAME = click.argument("name", metavar="TENANT/AGENT")


@click.command()
@NAME
@REASON
@FORMAT
@reaching
def revoke(name: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Revoke all certificates of an agent: it is refused from its next request on, and comes back by enrolling again.

    \b
    Example:
      ordain agents revoke shop/web-01 --reason "stolen"
    """
    _change(name, "revoke", {"reason": reason}, form=form, state=state, server=server)


@click.command()
@NAME
@REASON
@FORMAT
@reaching
def quarantine(name: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Hold an agent: it may report, and gets no releases; what it runs goes on.

    \b
    Example:
      ordain agents quarantine shop/web-01 --reason "odd connections, INC-4711"
    """
    _change(name, "quarantine", {"reason": reason}, form=form, state=state, server=server)


@click.command()
@NAME
@REASON
@FORMAT
@reaching
def release(name: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """End the quarantine of an agent.

    \b
    Example:
      ordain agents release shop/web-01 --reason "it was a scanner"
    """
    _change(name, "release", {"reason": reason}, form=form, state=state, server=server)


@click.command()
@NAME
@click.option("--leave", required=True, type=click.Choice(["keep", "remove"]), help="What the host does with what it manages.")
@REASON
@FORMAT
@reaching
def decommission(  # noqa: PLR0917 - click passes options by name
    name: str, leave: str, reason: str, form: str, state: Path | None, server: str | None
) -> None:
    """Take an agent out for good: it is told to keep or to remove what it manages, and its certificates are worth nothing.

    \b
    Example:
      ordain agents decommission shop/web-01 --leave remove --reason "sold"
    """
    _change(name, "decommission", {"reason": reason, "leave": leave}, form=form, state=state, server=server)


def _change(name: str, what: str, said: dict[str, str], *, form: str, state: Path | None, server: str | None) -> None:
    done = reach(state=state, server=server).ask("POST", f"{path_of(name)}/{what}", body=said)
    if form == "json":
        click.echo(json.dumps(done, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{done['target']} is {done['state']}", err=True)
