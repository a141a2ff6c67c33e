"""`ordain agents pending`: hosts that asked to join and that git does not know."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler.cli.connection import FORMAT, reach, reaching
from reconciler.cli.tables import table
from reconciler.inventory.hosts import Note
from reconciler.inventory.writing import Pending, Written, write_pending
from reconciler.printable import printable

COLUMNS = ("AGENT", "ASKED", "LAST", "FROM", "HOW", "WHY")


@click.command()
@click.argument("names", nargs=-1, metavar="[TENANT/AGENT]...")
@click.option("--tenant", help="Of one tenant.")
@click.option(
    "--write", "repository", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Working copy to write them into."
)
@click.option("--commit/--no-commit", default=True, show_default=True, help="With --write: make one commit of the new manifests.")
@click.option(
    "--labels-from", "labels", multiple=True, metavar="LABEL=FACT", help="With --write: a label from what the host says of itself."
)
@FORMAT
@reaching
def pending(  # noqa: PLR0917 - click passes options by name
    names: tuple[str, ...],
    tenant: str | None,
    repository: Path | None,
    commit: bool,  # noqa: FBT001
    labels: tuple[str, ...],
    form: str,
    state: Path | None,
    server: str | None,
) -> None:
    """List hosts that asked to join and were refused, since git does not know them; with --write, make their manifests.

    Given names, it is about these hosts alone. What a host says of itself is not proven: look before you write.

    \b
    Examples:
      ordain agents pending --state /var/lib/ordain
      ordain agents pending shop/web-09 --write ~/fleets --no-commit
    """
    query = {"tenant": tenant} if tenant else {}
    rows = reach(state=state, server=server).pages("/api/v1/pending", "pending", query=query)
    rows = _chosen(rows, names) if names else rows
    written = _write(rows, repository, labels, commit=commit) if repository is not None else None
    if form == "json":
        more = {"files": list(written.files), "commit": written.commit} if written else {}
        return click.echo(json.dumps({"pending": rows, **more}, indent=2, ensure_ascii=False))
    if written is not None:
        return _say(written)
    for line in table(COLUMNS, [_row(row) for row in rows]):
        click.echo(line)
    if not rows:
        click.echo("nobody waits", err=True)
    return None


def _chosen(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    found = {f"{row['tenant']}/{row['agent']}": row for row in rows}
    missing = [name for name in names if name not in found]
    if missing:
        message = f"{missing[0]} is not among those who wait; `ordain agents pending` lists them"
        raise InputError(message)
    return [found[name] for name in names]


def _write(rows: list[dict[str, Any]], repository: Path, labels: tuple[str, ...], *, commit: bool) -> Written:
    wanted = dict(_label(text) for text in labels)
    alone = [row for row in rows if not row["pool"]]
    entries = [Pending(tenant=row["tenant"], agent=row["agent"], how=row["how"], facts=row["facts"]) for row in alone]
    pools = sorted({(row["tenant"], row["pool"]) for row in rows if row["pool"]})
    said = [Note(name=pool, what=f"a pool of tenant {tenant} that git does not know; write its AgentPool") for tenant, pool in pools]
    done = write_pending(repository, entries, labels=wanted, commit=commit)
    return replace(done, notes=(*done.notes, *said))


def _label(text: str) -> tuple[str, str]:
    label, equals, fact = text.partition("=")
    if not label or not equals or not fact:
        message = f"--labels-from {text!r}: write LABEL=FACT, such as os=os.id"
        raise InputError(message)
    return label, fact


def _say(written: Written) -> None:
    for file in written.files:
        click.echo(printable(file))
    for note in written.notes:
        click.echo(f"note: {printable(note.name)}: {printable(note.what)}", err=True)
    if written.commit:
        click.echo(f"committed as {written.commit[:12]}; push it, and the hosts may join at their next try", err=True)
    elif written.files:
        click.echo("written and not committed", err=True)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    times = "once" if row["count"] == 1 else f"{row['count']} times"
    return f"{row['tenant']}/{row['agent']}", times, row["lastAt"], row["address"], row["how"], row["why"]
