"""`ordain keys status`: until when what is signed is valid, and what must be seen to."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler import settings
from reconciler.cli.tables import table
from reconciler.key_status import Expiry, gather
from reconciler.publication.keys import AUTHORITY, AUTHORITY_ROOT, AUTHORITY_SERVER, REPOSITORY
from reconciler.publication.times import stamp

COLUMNS = ("TENANT", "FLEET", "ROLE", "EXPIRES", "LEFT", "KEYS", "WARNING")
SHORT = 12
"""Characters of a key's id on a terminal; JSON has all of them."""
HOURS = 48
"""Up to so many hours the rest of a life is shown in hours, beyond in days."""
REMEDIES = {
    "releases": "`ordain reconcile` renews it: see whether it runs",
    "controls": "`ordain reconcile` renews it: see whether it runs",
    "accepted": "the next decision renews it",
    "root": "`ordain keys renew`",
    "targets": "`ordain keys renew`",
    AUTHORITY: "`ordain keys init --zone authority … --next-generation`",
    AUTHORITY_ROOT: "`ordain keys init --zone authority … --next-generation`",
    AUTHORITY_SERVER: "`ordain keys init --zone authority … --next-generation`",
}
ONLINE = "`ordain serve` renews it: see whether it runs"


@click.command()
@click.option("--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="State directory to look at.")
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def status(ctx: click.Context, state: Path, file: Path | None, form: str) -> None:
    """Show until when what is signed is valid, with which keys, and what must be seen to. Needs no running server.

    Exits with 1 if anything is expired, late, or due within 60 days, with 2 if nothing is signed there.

    \b
    Example:
      ordain keys status --state /var/lib/ordain
    """
    loaded = settings.load(file, state=state)
    ring, now = loaded.ring("pipeline"), datetime.now(UTC)
    found = gather(loaded.open_store(), ring.publics(REPOSITORY) if ring.has(REPOSITORY) else ())
    if not found:
        message = f"{loaded.store_url}: nothing is signed there; is --state that of `ordain reconcile`, and does --settings name its store?"
        raise InputError(message)
    if form == "json":
        click.echo(json.dumps({"keys": [_plain(one, now) for one in found]}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(table(COLUMNS, [_row(one, now) for one in found])))
    ctx.exit(1 if any(one.warning(now) for one in found) else 0)


def _plain(one: Expiry, now: datetime) -> dict[str, Any]:
    return {
        "tenant": one.tenant or None,
        "fleet": one.fleet,
        "role": one.role,
        "expires": stamp(one.expires) if one.expires else None,
        "seconds": int(one.left(now)) if one.expires else None,
        "keys": list(one.keys),
        "warning": one.warning(now) or None,
        "remedy": _remedy(one) if one.warning(now) else None,
    }


def _remedy(one: Expiry) -> str:
    return one.why or REMEDIES.get(one.role, ONLINE)


def _row(one: Expiry, now: datetime) -> tuple[str, ...]:
    warning = one.warning(now)
    keys = " ".join(key[:SHORT] for key in one.keys)
    said = f"{warning}: {_remedy(one)}" if warning else ""
    return one.tenant, one.fleet or "", one.role, stamp(one.expires) if one.expires else "", _left(one, now), keys, said


def _left(one: Expiry, now: datetime) -> str:
    if one.expires is None:
        return "-"
    hours = one.left(now) / 3600
    return f"{hours:.0f} h" if hours <= HOURS else f"{hours / 24:.0f} d"
