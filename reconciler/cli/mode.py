"""`ordain mode`: variants of a fleet that git holds ready, on for a while, without a release."""

import json
from pathlib import Path

import click

from reconciler.cli.connection import FORMAT, REASON, reach, reaching
from reconciler.cli.instants import as_ahead
from reconciler.cli.rollout import FLEET, fleet_of, mode_where
from reconciler.cli.rollout_orders import say
from reconciler.cli.tables import table

COLUMNS = ("FLEET", "MODE", "WHERE", "UNTIL", "BY", "REASON")
MODE = click.argument("mode")


@click.group()
def mode() -> None:
    """Modes: switch a variant on that was reviewed beforehand, for an incident, say; it ends by itself.

    \b
    Examples:
      ordain mode set shop/web incident --until 2h --reason "INC-4711"
      ordain mode list
      ordain mode end shop/web incident --reason "over"
    """


@mode.command("set")
@FLEET
@MODE
@click.option(
    "--until",
    "seconds",
    required=True,
    callback=as_ahead,
    help="For how long (2h), or until when (2027-01-15T09:00:00Z); at most what git says (atMost).",
)
@click.option("--now", is_flag=True, help="Everywhere at once, without the first wave's hosts showing first that it works.")
@REASON
@FORMAT
@reaching
def set_mode(  # noqa: PLR0917 - click passes options by name
    name: str,
    mode: str,
    seconds: int,
    now: bool,  # noqa: FBT001
    reason: str,
    form: str,
    state: Path | None,
    server: str | None,
) -> None:
    """Switch a mode on: for the first wave's hosts, and once these are well, for all. Of several that are on, the highest counts.

    Hosts go back by themselves when its time is over, also where nobody reaches them.

    \b
    Examples:
      ordain mode set shop/web incident --until 2h --reason "INC-4711"
      ordain mode set shop/web incident --until 30m --now --reason "INC-4711, it burns"
    """
    body = {"seconds": seconds, "reason": reason, "now": now}
    say(reach(state=state, server=server).ask("POST", f"/api/v1/modes/{fleet_of(name)}/{mode}/on", body=body), form)


@mode.command("list")
@click.option("--tenant", help="Of one tenant.")
@FORMAT
@reaching
def list_modes(tenant: str | None, form: str, state: Path | None, server: str | None) -> None:
    """List the modes that are on.

    \b
    Example:
      ordain mode list --state /var/lib/ordain
    """
    found = reach(state=state, server=server).ask("GET", "/api/v1/modes", query={"tenant": tenant} if tenant else None)
    if form == "json":
        return click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    rows = found["modes"]
    shown = [
        (
            f"{row['tenant']}/{row['fleet']}",
            row["mode"],
            mode_where(row),
            row["until"],
            row["who"],
            row["reason"],
        )
        for row in rows
    ]
    for line in table(COLUMNS, shown):
        click.echo(line)
    if not rows:
        click.echo("no mode is on", err=True)
    return None


@mode.command()
@FLEET
@MODE
@REASON
@FORMAT
@reaching
def end(  # noqa: PLR0917 - click passes options by name
    name: str, mode: str, reason: str, form: str, state: Path | None, server: str | None
) -> None:
    """Switch a mode off for everybody, before its time.

    \b
    Example:
      ordain mode end shop/web incident --reason "over"
    """
    found = reach(state=state, server=server).ask("POST", f"/api/v1/modes/{fleet_of(name)}/{mode}/off", body={"reason": reason})
    say(found, form)
