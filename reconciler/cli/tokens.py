"""`ordain token`: what hosts join with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from agent.protocol.identity import require_label
from reconciler.cli.connection import FORMAT, reach, reaching
from reconciler.cli.instants import as_seconds, is_past
from reconciler.cli.tables import table

COLUMNS = ("ID", "FOR", "USES LEFT", "EXPIRES", "BY", "STATE")
TENANT = click.option("--tenant", required=True, help="The tenant whose hosts it is about.")


@click.group()
def token() -> None:
    """Enrolment tokens: single-use, short-lived, each for one agent or one pool.

    \b
    Example:
      ordain token create --tenant shop --agent web-01 --ttl 1h --state /var/lib/ordain
    """


@token.command()
@TENANT
@click.option("--agent", help="The agent that may join with it.")
@click.option("--pool", help="The pool whose hosts may join with it.")
@click.option("--ttl", callback=as_seconds, default="1h", show_default=True, help="For how long: 30m, 1h, 2d.")
@click.option("--uses", type=click.IntRange(1, 10_000), default=1, show_default=True, help="How many hosts may join with it.")
@click.option("--reimage", is_flag=True, help="Let a name join that is enrolled: the host was installed anew.")
@FORMAT
@reaching
def create(  # noqa: PLR0917 - click passes options by name
    tenant: str,
    agent: str | None,
    pool: str | None,
    ttl: int,
    uses: int,
    reimage: bool,  # noqa: FBT001
    form: str,
    state: Path | None,
    server: str | None,
) -> None:
    """Make a token and print it: this once, and nowhere else.

    \b
    Examples:
      ordain token create --tenant shop --agent web-01 --ttl 1h
      ordain token create --tenant shop --pool runners --ttl 2d --uses 50 --format json
    """
    if bool(agent) == bool(pool):
        message = "give --agent NAME or --pool NAME, and not both"
        raise click.UsageError(message)
    asked = {"agent": agent or "", "pool": pool or "", "ttl": ttl, "uses": uses, "reimage": reimage}
    made = reach(state=state, server=server).ask("POST", f"/api/v1/tokens/{require_label(tenant, 'tenant')}", body=asked)
    if not made["knownToGit"]:
        click.echo(f"note: git does not know {tenant}/{agent or pool} yet: until it does, who joins is listed as pending", err=True)
    if form == "json":
        return click.echo(json.dumps({"token": made["token"], "expires": made["expires"], "id": made["id"]}, indent=2))
    click.echo(made["token"])
    return click.echo(f"expires {made['expires']}; on the host: ordain-agent enroll --server URL --token …", err=True)


@token.command("list")
@TENANT
@FORMAT
@reaching
def list_tokens(tenant: str, form: str, state: Path | None, server: str | None) -> None:
    """List a tenant's tokens, without their secrets; used and expired ones too, for a while.

    \b
    Example:
      ordain token list --tenant shop
    """
    rows = reach(state=state, server=server).pages(f"/api/v1/tokens/{require_label(tenant, 'tenant')}", "tokens")
    if form == "json":
        return click.echo(json.dumps({"tokens": rows}, indent=2, ensure_ascii=False))
    shown = [
        (
            row["id"],
            f"agent {row['agent']}" if row["agent"] else f"pool {row['pool']}",
            f"{row['usesLeft']} of {row['uses']}",
            row["expires"],
            row["createdBy"],
            _state(row),
        )
        for row in rows
    ]
    for line in table(COLUMNS, shown):
        click.echo(line)
    if not rows:
        click.echo(f"no tokens of {tenant} are known", err=True)
    return None


def _state(row: Mapping[str, Any]) -> str:
    """Return why nobody joins with a token any more, "" where somebody may."""
    return "revoked" if row["revokedAt"] else "used" if not row["usesLeft"] else "expired" if is_past(row["expires"]) else ""


@token.command()
@click.argument("id_", metavar="ID")
@TENANT
@FORMAT
@reaching
def revoke(id_: str, tenant: str, form: str, state: Path | None, server: str | None) -> None:
    """Make a token useless; hosts that have joined with it stay.

    \b
    Example:
      ordain token revoke 5f3a9c1b2d4e6f70 --tenant shop
    """
    where = f"/api/v1/tokens/{require_label(tenant, 'tenant')}/{require_label(id_, 'token')}"
    done = reach(state=state, server=server).ask("DELETE", where)
    if form == "json":
        return click.echo(json.dumps(done, indent=2, ensure_ascii=False))
    return click.echo(f"{done['target']} is {done['state']}", err=True)
