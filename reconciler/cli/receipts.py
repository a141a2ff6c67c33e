"""Receipts of a host, asked of a server as an operator, for commands about the past."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError, RetryError
from reconciler.pipeline.trail.applied import Applied, Receipt, applied
from reconciler.pipeline.why.address import Host

MOST = 1000
"""Receipts of one fleet on one host that are looked at, the newest: a host has some at each release."""
option = click.option("--server", help="Ask this server for the host's receipts: when it took a release.  [default: the one in --state]")
Looked = Callable[[str, str, str], Applied | None]
"""Given fleet (`shop/web`), digest and a time ("" for now), what the host's receipts say; None where nobody was asked."""


def looking(host: Host, *, server: str | None, state: Path | None) -> Looked:
    """Return what looks into receipts: of the server that is named, else of a local one in a state directory, else none.

    Raises:
        InputError: nobody has signed in at the server that is named.
    """
    from reconciler.cli.connection import Server, reach  # noqa: PLC0415 - only where a server is asked
    from reconciler.control.identity.local import CONTROL_FILE  # noqa: PLC0415

    local = state if state is not None and not server and (state / CONTROL_FILE).is_file() else None
    if not server and local is None:
        return lambda _fleet, _digest, _until: None
    try:
        found: Server | None = reach(state=local, server=server)
    except InputError:
        if server:
            raise
        found = None

    @cache
    def receipts(fleet: str) -> tuple[Receipt, ...] | None:
        if found is None:
            return None
        try:
            rows = found.pages(_path(host), "receipts", query={"fleet": fleet.rpartition("/")[2]}, limit=MOST)
        except RetryError as error:
            if server:
                raise
            click.echo(f"note: no receipts are looked at: {error}", err=True)
            return None
        return tuple(_receipt(fleet, row) for row in reversed(rows))  # the oldest first: several may be of one second

    def look(fleet: str, digest: str, until: str) -> Applied | None:
        known = receipts(fleet)
        return None if known is None else applied(known, fleet, digest, until=until)

    return look


def _path(host: Host) -> str:
    from reconciler.cli.live import agent_path  # noqa: PLC0415

    return f"{agent_path(host.tenant, host.agent)}/receipts"


def _receipt(fleet: str, row: dict[str, Any]) -> Receipt:
    plain = {name: row[name] for name in ("digest", "result", "at", "attempt", "generation", "mode", "why", "certificate")}
    return Receipt(fleet=fleet, received=row["receivedAt"], **plain)
