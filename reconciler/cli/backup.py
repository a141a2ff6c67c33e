"""`ordain backup` and `ordain restore`: all that an installation needs to be made again, in one file."""

import getpass
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler import settings
from reconciler.cli.progress import Progress

if TYPE_CHECKING:
    from reconciler.backup.archive import Manifest
    from reconciler.backup.restoring import Restored

Command = Callable[..., None]


def _shared(command: Command) -> Command:
    """Add the options of both commands."""
    for option in (
        click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True),
        click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML)."),
        click.option("--state", required=True, type=click.Path(file_okay=False, path_type=Path), help="State directory of serve or up."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@_shared
@click.option("--without-store", is_flag=True, help="Leave the store out: it is kept in another way.")
def backup(target: Path, state: Path, file: Path | None, form: str, without_store: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Write registry, store, certificate authority and online keys to FILE, while all goes on.

    FILE is new, and its owner's alone: it holds private keys, so keep it as you keep those. Keys on a token or in a key service are not
    in it. Of an object store it holds the ceremony's files and the numbers that were reached.

    Exit codes: 0 written, 1 the registry can't be used by this ordain, 2 wrong usage, 3 registry or store can't be reached.

    \b
    Example:
      ordain backup --state /var/lib/ordain /backup/ordain/monday.tar.zst
    """
    from reconciler.backup.saving import save  # noqa: PLC0415 - it brings the registry, which the other command lines do without

    with Progress() as progress:
        loaded = settings.load(file, state=_there(state))
        manifest = save(loaded, target, with_store=not without_store, now=datetime.now(UTC), progress=progress)
    if form == "json":
        shown = {"file": str(target), "bytes": target.stat().st_size, **_plain(manifest)}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_written(target, manifest)))


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_shared
@click.option("--aside", is_flag=True, help="Move a state directory that holds something beside itself first.")
def restore(source: Path, state: Path, file: Path | None, form: str, aside: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Bring a backup into an empty state directory.

    All of FILE is verified before anything is written. Both zones then go on with versions far above those of the backup, so that hosts
    that have seen newer ones follow. A store that holds something already is left as it is. A restore that was stopped is begun again by
    the same command.

    Exit codes: 0 restored, 1 refused (in use, not empty, damaged), 2 wrong usage, 3 registry or store can't be reached.

    \b
    Example:
      ordain restore /backup/ordain/monday.tar.zst --state /var/lib/ordain
    """
    from reconciler.backup import restoring  # noqa: PLC0415 - it brings the registry, which the other command lines do without

    now = datetime.now(UTC)
    loaded = settings.load(file, state=state)
    moved = restoring.put_aside(loaded, stamped=f"{now:%Y%m%dT%H%M%SZ}") if aside else None
    with Progress() as progress:
        done = restoring.restore(loaded, source, who=f"operator:{getpass.getuser()}", now=now, progress=progress)
    if form == "json":
        shown = {
            **_plain(done.manifest),
            "aside": str(moved) if moved else None,
            "storeRestored": done.store,
            "fleets": done.fleets,
            "endedTokens": done.tokens,
            "keys": done.keys,
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_brought_back(done)))
    if moved:
        click.echo(f"what was there before is at {moved}", err=True)
    for line in _unknown(done):
        click.echo(line, err=True)


def _there(state: Path) -> Path:
    if not state.is_dir():
        message = f"{state}: there is no such state directory"
        raise click.UsageError(message)
    return state


def _plain(manifest: "Manifest") -> dict[str, object]:
    return {
        "madeAt": manifest.made_at,
        "host": manifest.host,
        "program": manifest.program,
        "store": manifest.store,
        "registry": bool(manifest.registry),
        "elsewhere": manifest.elsewhere,
        "files": len(manifest.files),
    }


def _written(target: Path, manifest: "Manifest") -> Iterator[str]:
    yield f"{target}: {len(manifest.files):,} files in {target.stat().st_size:,} bytes"
    yield f"registry: {'in it' if manifest.registry else 'there is none yet'}; store: {manifest.store}"
    for role in manifest.elsewhere:
        yield f"not in it, since it is no file: the key {role}"


def _brought_back(done: "Restored") -> Iterator[str]:
    yield f"restored as of {done.manifest.made_at}, made on {done.manifest.host}"
    yield f"registry: {done.registry or 'there was none'}; keys: {done.keys} files"
    if done.store:
        yield f"store: restored; versions go on far above those of the backup (fleets: {len(done.fleets)})"
    else:
        yield "store: left as it is; what is published there counts more than the backup"


def _unknown(done: "Restored") -> Iterator[str]:
    """Say what happened after the backup and nobody can know, so that a person looks after it."""
    since = done.manifest.made_at
    yield f"not known here: which hosts and which operators' tokens were revoked, quarantined or decommissioned after {since}; do it again"
    if done.tokens:
        yield f"enrolment tokens are ended ({done.tokens}), since they may have been used after {since}: make new ones where needed"
    for role in done.manifest.elsewhere:
        yield f"the key {role} was not in the backup: it is where [keys] uris says"
