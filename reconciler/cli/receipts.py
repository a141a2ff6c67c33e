"""What a server knows of a host, asked of it as an operator, for commands about the past: its receipts, and its turn in rollouts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.protocol.errors import InputError, OrdainError, RetryError
from reconciler.pipeline.trail.applied import Applied, Receipt, applied
from reconciler.pipeline.why.address import Host

if TYPE_CHECKING:
    from reconciler.cli.connection import Server

MOST = 1000
"""Receipts of one fleet on one host that are looked at, the newest: a host has some at each release."""
option = click.option("--server", help="Ask this server for the host's receipts: when it took a release.  [default: the one in --state]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """In which wave (`number`, from 1, of `waves`) a host gets a release, as `/api/v1/rollouts` says; wave "" where it had no waves."""

    digest: str
    attempt: int
    wave: str
    number: int
    waves: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What a host said last that runs there of a fleet: the release, its commit, and the mode that is on, "" for none."""

    digest: str
    commit: str
    mode: str


Looked = Callable[[str, str, str], Applied | None]
"""Given fleet (`shop/web`), digest and a time ("" for now), what the host's receipts say; None where nobody was asked."""


def looking(host: Host, *, server: str | None, state: Path | None) -> Looked:
    """Return what looks into receipts: of the server that is named, else of a local one in a state directory, else none.

    Raises:
        InputError: nobody has signed in at the server that is named.
    """
    found = _server(server, state)
    if found is None:
        return lambda _fleet, _digest, _until: None

    @cache
    def receipts(fleet: str) -> tuple[Receipt, ...] | None:
        if found is None:
            return None
        try:
            rows = found.pages(f"{_path(host)}/receipts", "receipts", query={"fleet": fleet.rpartition("/")[2]}, limit=MOST)
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


def turn(host: Host, fleet: str, digest: str, *, server: str | None, state: Path | None) -> Turn | None:
    """Return a host's turn in a release of a fleet; None where nobody was asked, or where it is no longer on its way nor stable.

    Raises as `looking` and what it returns do.
    """
    try:
        found = _server(server, state)
        rows = found.ask("GET", f"/api/v1/rollouts/{fleet}", query={"agent": host.agent})["turns"] if found is not None else []
    except OrdainError:  # why is said where receipts are asked for; a fleet that is new has no rollout
        return None
    return next((Turn(**{name: row[name] for name in Turn.__slots__}) for row in rows if row["digest"] == digest), None)


def here(host: Host, *, server: str | None, state: Path | None) -> dict[str, Here]:
    """Return what runs on a host by its own last word, by fleet (`shop/web`); nothing where nobody was asked, or it never said."""
    try:
        found = _server(server, state)
        rows = found.ask("GET", _path(host))["standing"] if found is not None else []
    except OrdainError:  # why is said where receipts are asked for
        return {}
    return {f"{host.tenant}/{row['fleet']}": Here(**{name: row[name] for name in Here.__slots__}) for row in rows}


def _server(server: str | None, state: Path | None) -> "Server | None":
    """Return the server that is asked: the one that is named, else a local one in a state directory, else none."""
    from reconciler.cli.connection import reach  # noqa: PLC0415 - only where a server is asked
    from reconciler.control.identity.local import CONTROL_FILE  # noqa: PLC0415

    local = state if state is not None and not server and (state / CONTROL_FILE).is_file() else None
    if not server and local is None:
        return None
    try:
        return reach(state=local, server=server)
    except InputError:
        if server:
            raise
        return None


def _path(host: Host) -> str:
    from reconciler.cli.live import agent_path  # noqa: PLC0415

    return agent_path(host.tenant, host.agent)


def _receipt(fleet: str, row: dict[str, Any]) -> Receipt:
    plain = {name: row[name] for name in ("digest", "result", "at", "attempt", "generation", "mode", "why", "certificate")}
    return Receipt(fleet=fleet, received=row["receivedAt"], **plain)
