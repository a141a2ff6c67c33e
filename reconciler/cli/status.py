"""`ordain status`: what is released where, what stands still, and why."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from reconciler import settings
from reconciler.pipeline import problem
from reconciler.pipeline.source import mirror_path
from reconciler.pipeline.source.mirror import fetched_head
from reconciler.printable import printable
from reconciler.status import gather

SHORT = 12
"""Characters of a commit or digest on a terminal; JSON has all of them."""
COLUMNS = ("FLEET", "COMMIT", "DIGEST", "MEMBERS", "SERIAL", "STATE")


@click.command()
@click.option("--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="State directory to look at.")
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(state: Path, file: Path | None, form: str) -> None:
    """Show what is released, frozen or waiting, and why. Needs no running server.

    COMMIT is that of the desired release: of its bundle or of its members, whichever was approved last. MEMBERS and SERIAL are numbers
    of documents, not of hosts: of the list of members, and of the order that stands published.

    \b
    Examples:
      ordain status --state /var/lib/ordain
      ordain status --state /var/lib/ordain --format json
    """
    loaded = settings.load(file, state=state)
    ring = loaded.ring("pipeline")
    found = gather(loaded.open_store(), ring, source=fetched_head(mirror_path(state)), problem=problem.read(state))
    if form == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(found)))


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield a status in lines for people and for grep: they are never folded, and a reason stands on a line of its own."""
    yield f"{'ready' if found['ready'] else 'not ready'}: {_examined(found)}"
    if found["problem"]:
        yield f"problem since {found['problem']['since']}: {printable(found['problem']['why'])}"
    elif found["source"] not in (None, found["head"]):
        yield f"fetched {_short(found['source'])}, not examined yet; if that lasts, the log says why"
    for one in found["refused"]:
        yield f"refused: {printable(one['file'])} (since {_short(one['commit'])}): {printable(one['why'])}"
    yield from _waivers(found["waivers"])
    yield from _standing(found["standing"], found["standingLeftOut"])
    for tenant in found["tenants"]:
        if tenant["why"]:
            yield f"tenant {tenant['name']}: {printable(tenant['why'])}"
        if tenant["development"]:
            yield f"tenant {tenant['name']}: development keys, not for production"
    yield from _table(found["fleets"])


def _waivers(waivers: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the waivers of which something is to be said: broken glass, those that end soon or have ended, those that nothing needs."""
    for one in waivers:
        what = f"{one['rule']} on {one['object']} (owner {printable(one['owner'])})"
        if not one["counts"]:
            yield f"waiver {one['name']} ended at {one['until']}: it no longer excuses {what}; remove {printable(one['file'])}"
        elif one["incident"]:
            yield f"GLASS BROKEN until {one['until']} for {printable(one['incident'])}: {one['name']} excuses {what}"
        elif one["endsWithinDays"]:
            days = one["endsWithinDays"]
            yield f"waiver {one['name']} ends within {days} day{'' if days == 1 else 's'}, at {one['until']}: it excuses {what}"
        if one["unused"] and one["counts"]:
            yield f"waiver {one['name']} is not needed: nothing that it excuses is found; remove {printable(one['file'])}"


def _standing(standing: list[dict[str, Any]], left_out: int) -> Iterator[str]:
    for one in standing:
        blocks = ", and blocks changes of it" if one["blocks"] else ""
        where = f"{printable(one['file'])} at {printable(one['at'])} (since {one['since']}{blocks})"
        yield f"standing: {one['rule']} {where}: {printable(one['message'])}"
    if left_out:
        yield f"standing: {left_out} more; `ordain check` shows all"


def _table(fleets: list[dict[str, Any]]) -> Iterator[str]:
    rows = [COLUMNS, *map(_row, fleets)] if fleets else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, fleet in zip(rows, [None, *fleets], strict=False):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if fleet is not None and fleet["why"]:
            yield f"  why: {printable(fleet['why'])}"
        if fleet is not None and fleet["rollout"]:
            yield f"  rollout: {printable(fleet['rollout']['why'])}"


def _examined(found: dict[str, Any]) -> str:
    if not found["pipeline"]:
        return "what is examined is not known here, since the pipeline's key is elsewhere"
    return f"examined {_short(found['head'])} by decision {found['decision']}" if found["head"] else "nothing examined yet"


def _row(fleet: dict[str, Any]) -> tuple[str, ...]:
    name = f"{fleet['tenant']}/{fleet['name']}"
    return (
        name,
        _short(fleet["commit"]),
        _short(fleet["digest"]),
        str(fleet["members"] or "-"),
        str(fleet["serial"] or "-"),
        fleet["state"],
    )


def _short(text: str | None) -> str:
    return text[:SHORT] if text else "-"
