"""`ordain freeze`: stop going forward, at once and for a while, where there is no time for a commit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from agent.protocol.identity import LABEL
from reconciler.cli.connection import FORMAT, REASON, reach, reaching
from reconciler.cli.instants import as_ahead
from reconciler.cli.rollout import fleet_of
from reconciler.cli.tables import table

COLUMNS = ("FREEZE", "WHAT", "UNTIL", "BY", "REASON")
PATH = "/api/v1/freezes"


def _ahead(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> int:
    """Return the seconds until the one end that was given, 0 for none."""
    if len(given) > 1:
        message = f"give one end, not {' and '.join(given)}"
        raise click.BadParameter(message, ctx=ctx, param=param)
    return as_ahead(ctx, param, given[0]) if given else 0


@click.group(invoke_without_command=True)
@click.option("--tenant", help="All fleets of a tenant.")
@click.option("--fleet", "fleets", multiple=True, metavar="TENANT/FLEET", help="One fleet; may be given often.")
@click.option("--all", "everything", is_flag=True, help="Everything of this installation; for its admins.")
@click.option(
    "--for",
    "--until",
    "seconds",
    multiple=True,
    callback=_ahead,
    help="For how long (2h), or until when (2027-01-15T09:00:00Z); at most 30d.",
)
@click.option("--reason", help="Why: it stands in the audit.")
@FORMAT
@reaching
@click.pass_context
def freeze(  # noqa: PLR0917 - click passes options by name
    ctx: click.Context,
    tenant: str | None,
    fleets: tuple[str, ...],
    everything: bool,  # noqa: FBT001
    seconds: int,
    reason: str | None,
    form: str,
    state: Path | None,
    server: str | None,
) -> None:
    """Let no rollout go forward, from now until a time. Going back is never frozen, and hosts keep what they have.

    It ends by itself. One that is planned belongs into git (kind Freeze). A wave that is admitted goes on to its end, and a fleet that
    git marks critical passes freezes: hold these by ordain rollout pause.

    \b
    Examples:
      ordain freeze --fleet shop/web --for 2h --reason "INC-4711"
      ordain freeze --all --for 30m --reason "the network is being repaired"
      ordain freeze list
      ordain freeze end 3 --reason "repaired"
    """
    if ctx.invoked_subcommand is not None:
        return None
    places = _places(tenant, fleets, everything=everything)
    if not seconds or not reason or not reason.strip():
        message = "a freeze needs --for (2h, at least 1s) and --reason: it ends by itself, and others read why"
        raise InputError(message)
    asked = reach(state=state, server=server)
    rows = [asked.ask("POST", f"{PATH}/{place}", body={"seconds": seconds, "reason": reason}) for place in places]
    if form == "json":
        return click.echo(json.dumps({"freezes": rows}, indent=2, ensure_ascii=False))
    for row in rows:
        click.echo(f"{_what(row)}: frozen until {row['until']}; `ordain freeze end {row['number']}` ends it sooner", err=True)
    return None


@freeze.command("list")
@click.option("--tenant", help="Of one tenant, and of all.")
@FORMAT
@reaching
def list_freezes(tenant: str | None, form: str, state: Path | None, server: str | None) -> None:
    """List the freezes that are on: those of git by name, those by hand by number.

    \b
    Example:
      ordain freeze list --state /var/lib/ordain
    """
    found = reach(state=state, server=server).ask("GET", PATH, query={"tenant": tenant} if tenant else None)
    if form == "json":
        return click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    rows = found["freezes"]
    for line in table(COLUMNS, [_row(row) for row in rows]):
        click.echo(line)
    if not rows:
        click.echo("nothing is frozen", err=True)
    return None


@freeze.command()
@click.argument("number", metavar="FREEZE", callback=lambda _ctx, _parameter, given: _number(given))
@REASON
@FORMAT
@reaching
def end(number: int, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """End a freeze that was put on by hand, before its time.

    \b
    Example:
      ordain freeze end 3 --reason "repaired"
    """
    asked = reach(state=state, server=server)
    row = next((one for one in asked.ask("GET", PATH)["freezes"] if one["number"] == number), None)
    if row is None:
        message = f"no freeze {number} is on; `ordain freeze list` shows those that are"
        raise InputError(message)
    place = "/".join(
        ["fleets", row["tenant"], *row["fleets"]] if row["fleets"] else ["tenants", row["tenant"]] if row["tenant"] else ["installation"]
    )
    asked.ask("POST", f"{PATH}/{place}/{number}/end", body={"reason": reason})
    if form == "json":
        return click.echo(json.dumps(row, indent=2, ensure_ascii=False))
    click.echo(f"{_what(row)}: no longer frozen by {number}", err=True)
    return None


def _number(text: str) -> int:
    """Return the number of a freeze by hand; raise `InputError` for the name of one in git, which a commit ends."""
    if not (text.isascii() and text.isdecimal()):
        message = f"{text!r} is no number of a freeze by hand: `ordain freeze list` shows those; one of git ends by a commit without it"
        raise InputError(message)
    return int(text)


def _places(tenant: str | None, fleets: Sequence[str], *, everything: bool) -> list[str]:
    if sum((tenant is not None, bool(fleets), everything)) != 1:
        message = "what is to be frozen? Give one of --fleet TENANT/FLEET, --tenant TENANT, and --all"
        raise InputError(message)
    if tenant is not None and not LABEL.fullmatch(tenant):
        message = f"{tenant!r} is not a tenant's name"
        raise InputError(message)
    return [f"fleets/{fleet_of(one)}" for one in fleets] or [f"tenants/{tenant}" if tenant else "installation"]


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    return str(row["number"] or row["manifest"]), _what(row), row["until"], row["who"], row["reason"]


def _what(row: dict[str, Any]) -> str:
    fleets = ", ".join(f"{row['tenant']}/{fleet}" for fleet in row["fleets"])
    return fleets or (f"all of {row['tenant']}" if row["tenant"] else "everything")
