"""`ordain registry`: where agents, certificates and reports are remembered; bringing it to this version, or into PostgreSQL."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler import settings
from reconciler.cli.progress import Progress
from reconciler.control.registry import copying, migrating
from reconciler.control.registry.registry import Registry

Command = Callable[..., None]
_format = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)


def _which(command: Command) -> Command:
    """Add the options that say which registry."""
    for option in (
        click.option("--url", help="A registry by its URL, instead of the one that the settings name."),
        click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML)."),
        click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State directory of ordain serve or up."),
    ):
        command = option(command)
    return command


@click.group()
def registry() -> None:
    """Look at the registry, bring it to this version, or copy it into PostgreSQL.

    \b
    Example:
      ordain registry status --state /var/lib/ordain
    """


@registry.command()
@_which
@_format
def status(state: Path | None, file: Path | None, url: str | None, form: str) -> None:
    """Show where the registry is, the version of its tables, and how many rows they have.

    Exit codes: 0 it can be used, 1 it must be upgraded, is too new for this ordain or was moved, 2 wrong usage, 3 it can't be reached.

    \b
    Example:
      ordain registry status --state /var/lib/ordain
    """
    with _opened(state, file, url) as found, found.read() as connection:
        versions = migrating.versions(connection)
        rows = copying.counts(connection) if versions.now != migrating.EMPTY else {}
        told = {"url": found.shown, "version": versions.now, "code": versions.code, "oldest": versions.oldest, "rows": rows}
        click.echo(json.dumps(told, indent=2) if form == "json" else "\n".join(_lines(told)))
        migrating.require_usable(connection)


def _lines(told: dict[str, Any]) -> Iterator[str]:
    yield f"registry {told['url']}"
    yield f"tables of version {told['version']}; this ordain is made for {told['code']}"
    for name, rows in told["rows"].items():
        if rows:
            yield f"  {name}: {rows:,} row{'' if rows == 1 else 's'}"


@registry.command()
@_which
def upgrade(state: Path | None, file: Path | None, url: str | None) -> None:
    """Bring the tables to the version of this ordain.

    `serve` and `up` do so when they start; this is for whoever wants to do it before. An ordain of the version before goes on working
    on them.

    \b
    Example:
      ordain registry upgrade --state /var/lib/ordain
    """
    with _opened(state, file, url, create=True) as found:
        versions = found.migrate()
    told = "are already" if versions.before == versions.now else f"were {versions.before} and now are"
    click.echo(f"{found.shown}: its tables {told} of version {versions.now}")


@registry.command()
@click.option("--from", "source", required=True, help="URL of the registry as it is: sqlite:////var/lib/ordain/registry.db")
@click.option("--to", "target", required=True, help="URL of an empty database: postgresql://ordain@db.example.com/ordain")
def migrate(source: str, target: str) -> None:
    """Copy a whole registry into an empty database, and let nobody use the old one any more.

    Stop every `ordain serve` first, and set [registry] url to the new one afterwards. The copy is one transaction: if it is stopped,
    or if what it holds differs from the old registry, nothing of it is kept, and the old one can be used as before.

    \b
    Example:
      ordain registry migrate --from sqlite:////var/lib/ordain/registry.db --to postgresql://ordain@db.example.com/ordain
    """
    with _kept_for_us(source), _open(source) as old, _open(target, create=True) as new:
        with Progress() as said:
            rows = copying.copy(old, new, said)
        for name, number in rows.items():
            if number:
                click.echo(f"{name}: {number:,} row{'' if number == 1 else 's'}")
        click.echo(f"moved to {new.shown}: set [registry] url to it; the old registry refuses to be used from here on", err=True)


@contextmanager
def _kept_for_us(source: str) -> Iterator[None]:
    """Hold the state directory that a file of SQLite stands in, if it is one; raises `RefusedError` while a `serve` works on it."""
    directory = Path(source.removeprefix("sqlite:///")).parent
    if source.startswith("sqlite:///") and (directory / "lock").is_file():
        from reconciler import process  # noqa: PLC0415 - it brings aiohttp, and this command alone needs it

        with process.only_one(directory):
            yield
    else:
        yield


@contextmanager
def _opened(state: Path | None, file: Path | None, url: str | None, *, create: bool = False) -> Iterator[Registry]:
    if url is None and state is None:
        message = "which registry? Give --state DIR, with --settings FILE if it has one, or --url URL"
        raise InputError(message)
    with _open(url or settings.load(file, state=state or Path()).registry_url, create=create) as found:
        yield found


@contextmanager
def _open(url: str, *, create: bool = False) -> Iterator[Registry]:
    found = Registry.open(url, create=create)
    try:
        yield found
    finally:
        found.close()
