"""`ordain hooks`: which forges may tell of pushes, and the secrets by which they sign."""

import json
from pathlib import Path
from typing import Any

import click

from reconciler.cli.connection import FORMAT, REASON, reach, reaching
from reconciler.cli.tables import table

COLUMNS = ("HOOK", "FORGE", "MADE", "BY", "ROTATED")
PATH = "/api/v1/hooks"


@click.group()
def hooks() -> None:
    """Make, rotate and remove webhooks, beside those that the settings file names.

    \b
    Examples:
      ordain hooks add github --reason "the fleet repository" --state /var/lib/ordain
      ordain hooks list --state /var/lib/ordain
    """


@hooks.command(name="list")
@FORMAT
@reaching
def listed(form: str, state: Path | None, server: str | None) -> None:
    """List the webhooks that operators made; secrets are not shown again.

    \b
    Example:
      ordain hooks list --state /var/lib/ordain
    """
    found = reach(state=state, server=server).ask("GET", PATH)
    if form == "json":
        return click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    rows = [(row["id"], row["forge"], row["createdAt"], row["createdBy"], row["rotatedAt"]) for row in found["hooks"]]
    for line in table(COLUMNS, rows):
        click.echo(line)
    if not rows:
        click.echo("no webhooks but those of the settings", err=True)
    return None


@hooks.command()
@click.argument("forge", type=click.Choice(["gitea", "github", "gitlab", "generic"]))
@REASON
@FORMAT
@reaching
def add(forge: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Make a webhook for a forge, and print its secret: this once, on stdout.

    \b
    Example:
      ordain hooks add github --reason "the fleet repository" --state /var/lib/ordain
    """
    _show(reach(state=state, server=server).ask("POST", PATH, body={"forge": forge, "reason": reason}), form)


@hooks.command()
@click.argument("hook")
@REASON
@FORMAT
@reaching
def rotate(hook: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Give a webhook another secret, and print it; the one before counts for another day.

    \b
    Example:
      ordain hooks rotate 3f1c9a2b7d604e58 --reason "once a year" --state /var/lib/ordain
    """
    _show(reach(state=state, server=server).ask("POST", f"{PATH}/{hook}/rotate", body={"reason": reason}), form)


@hooks.command()
@click.argument("hook")
@reaching
def remove(hook: str, state: Path | None, server: str | None) -> None:
    """Hear a webhook no more.

    \b
    Example:
      ordain hooks remove 3f1c9a2b7d604e58 --state /var/lib/ordain
    """
    reach(state=state, server=server).ask("DELETE", f"{PATH}/{hook}")
    click.echo(f"{hook} is removed: what its secret signs is refused", err=True)


def _show(made: dict[str, Any], form: str) -> None:
    if form == "json":
        return click.echo(json.dumps(made, indent=2, ensure_ascii=False))
    click.echo(made["secret"])
    click.echo(f"webhook {made['id']}: at {made['forge']}, name this secret and the path {made['path']} of the server's address", err=True)
    return None
