"""`ordain status`: what is released where, what stands still, and why."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from reconciler import settings
from reconciler.pipeline.source import mirror_path
from reconciler.pipeline.source.mirror import fetched_head
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import open_store
from reconciler.status import gather

SHORT = 12
"""Characters of a commit or digest on a terminal; JSON has all of them."""


@click.command()
@click.option("--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="State directory to look at.")
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(state: Path, file: Path | None, form: str) -> None:
    """Show what is released, frozen or waiting, and why. Needs no running server.

    \b
    Examples:
      ordain status --state /var/lib/ordain
      ordain status --state /var/lib/ordain --format json
    """
    loaded = settings.load(file, state=state)
    ring = KeyRing(zone="pipeline", directory=loaded.keys_directory / "pipeline")
    found = gather(open_store(loaded.store_url), ring, source=fetched_head(mirror_path(state)))
    if form == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{'ready' if found['ready'] else 'not ready'}: {_examined(found)}")
    if found["source"] not in (None, found["head"]):
        console.print(f"fetched {_short(found['source'])}, not examined yet; if that lasts, the log says why")
    for one in found["refused"]:
        console.print(f"refused: {one['file']} (since {_short(one['commit'])}): {one['why']}")
    for tenant in found["tenants"]:
        if tenant["why"]:
            console.print(f"tenant {tenant['name']}: {tenant['why']}")
        if tenant["development"]:
            console.print(f"tenant {tenant['name']}: development keys, not for production")
    table = Table(box=None, pad_edge=False)
    for column in ("FLEET", "COMMIT", "DIGEST", "MEMBERS", "SERIAL", "STATE", "WHY"):
        table.add_column(column, overflow="fold")
    for fleet in found["fleets"]:
        table.add_row(*_row(fleet))
    if found["fleets"]:
        console.print(table)


def _examined(found: dict[str, Any]) -> str:
    if not found["pipeline"]:
        return "what is examined is not known here, since the pipeline's key is elsewhere"
    return f"examined {_short(found['head'])} by decision {found['decision']}" if found["head"] else "nothing examined yet"


def _row(fleet: dict[str, Any]) -> tuple[str, ...]:
    state = "frozen" if fleet["frozen"] else "published" if fleet["published"] else "publishing"
    name = f"{fleet['tenant']}/{fleet['name']}"
    return (
        name,
        _short(fleet["commit"]),
        _short(fleet["digest"]),
        str(fleet["members"] or "-"),
        str(fleet["serial"] or "-"),
        state,
        fleet["why"],
    )


def _short(text: str | None) -> str:
    return text[:SHORT] if text else "-"
