"""`ordain doctor`: what an operator should know before it matters."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from reconciler import settings
from reconciler.doctor import Check, examine
from reconciler.printable import printable

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "bad": ("BAD ", "red")}


@click.command()
@click.option("--state", type=click.Path(exists=True, file_okay=False, path_type=Path), help="State directory of the installation.")
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def doctor(ctx: click.Context, state: Path | None, file: Path | None, form: str) -> None:
    """Look at everything that tends to go wrong, and say what to do. Changes nothing, and needs no running server.

    Programs and OPA, whether commits must be signed, keys that end or are for development, refused files, full disks.
    Without --state only this machine is looked at.

    Exit codes: 0 nothing is bad (there may be warnings), 1 something is, 2 wrong usage.

    \b
    Example:
      ordain doctor --state /var/lib/ordain
    """
    loaded = settings.load(file, state=state) if state is not None else None
    found = examine(loaded, datetime.now(UTC))
    if form == "json":
        click.echo(json.dumps({"checks": [asdict(one) for one in found]}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_line(one) for one in found))
    ctx.exit(1 if any(one.level == "bad" for one in found) else 0)


def _line(one: Check) -> str:
    mark, colour = MARKS[one.level]
    remedy = f"; {one.remedy}" if one.remedy else ""
    return f"{click.style(mark, fg=colour)}  {one.name}: {printable(one.says + remedy)}"
