"""`ordain audit operations`: who did what through the API, and who was refused."""

import json
from pathlib import Path

import click

from agent.protocol.errors import RefusedError
from agent.protocol.identity import require_label
from reconciler.cli.connection import FORMAT, reach, reaching
from reconciler.cli.tables import table

COLUMNS = ("NUMBER", "AT", "WHO", "ACTION", "TARGET", "OUTCOME", "REASON")
LIMIT = 100
"""Entries that are shown where nobody asks for more."""


@click.command()
@click.option("--tenant", help="Of a tenant. [default: the installation's, about operators and sign-ins]")
@click.option("--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="The newest so many.")
@click.option("--verify", is_flag=True, help="Prove that no entry was changed or taken out.")
@FORMAT
@reaching
def operations(  # noqa: PLR0917 - click passes options by name
    tenant: str | None,
    limit: int,
    verify: bool,  # noqa: FBT001
    form: str,
    state: Path | None,
    server: str | None,
) -> None:
    """Show what operators and hosts did through the API, the newest first; each entry holds the hash of the one before.

    \b
    Examples:
      ordain audit operations --tenant shop --state /var/lib/ordain
      ordain audit operations --verify
    """
    where = f"/api/v1/audit/tenants/{require_label(tenant, 'tenant')}" if tenant else "/api/v1/audit/installation"
    target = reach(state=state, server=server)
    if verify:
        return _verify(target.ask("GET", f"{where}/verify"), form)
    rows = target.pages(where, "entries", limit=limit)
    if form == "json":
        return click.echo(json.dumps({"entries": rows}, indent=2, ensure_ascii=False))
    shown = [(str(row["number"]), row["at"], row["who"], row["action"], row["target"], row["outcome"], row["reason"]) for row in rows]
    for line in table(COLUMNS, shown):
        click.echo(line)
    return None


def _verify(found: dict[str, object], form: str) -> None:
    if form == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    if not found["holds"]:
        raise RefusedError(str(found["why"]))
    if form != "json":
        several = found["entries"] != 1
        click.echo(f"{found['entries']} {'entries hold' if several else 'entry holds'}; the last has the hash {found['last']}")
