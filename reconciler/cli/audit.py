"""`ordain audit`: what was decided about a revision, by which rules, and what came of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from agent.protocol.errors import RefusedError
from reconciler import settings
from reconciler.cli.lazy import LazyGroup
from reconciler.pipeline.audit import PAYLOAD_TYPE, DecisionRecord, decode_record, note_text
from reconciler.pipeline.notes import read_note
from reconciler.pipeline.signing import decision_keys
from reconciler.pipeline.source import full_sha, mirror_path, open_repository, resolve
from reconciler.pipeline.trail.decided import record_names
from reconciler.publication import envelope

COMMANDS = {"operations": "reconciler.cli.audit_operations:operations", "verify": "reconciler.cli.audit_verify:verify"}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def audit() -> None:
    """Look into decisions, and prove them.

    \b
    Examples:
      ordain audit show HEAD
      ordain audit verify --state /var/lib/ordain
    """


@audit.command()
@click.argument("revision", metavar="REV")
@click.option("--repo", default=".", show_default=True, type=click.Path(path_type=Path), help="Fleet repository whose notes are read.")
@click.option(
    "--state", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Read the signed records of this reconciler instead."
)
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML), with --state.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(revision: str, repo: Path, state: Path | None, file: Path | None, form: str) -> None:
    """Show the decisions about one commit, oldest first.

    Without --state it reads the notes that any clone can have (git fetch origin 'refs/notes/ordain/*:refs/notes/ordain/*').
    With --state it reads the records themselves, and checks who signed them.

    \b
    Examples:
      ordain audit show HEAD
      ordain audit show HEAD --state /var/lib/ordain --format json
    """
    if state is None:
        _show_notes(revision, repo, form)
    else:
        _show_records(revision, settings.load(file, state=state), form)


def _show_notes(revision: str, repo: Path, form: str) -> None:
    repository = open_repository(repo)
    head = resolve(repository, revision)
    note = read_note(repository, head)
    if note is None:
        raise RefusedError(_nothing(head, "in the notes here"))
    if form == "json":
        click.echo(json.dumps({"revision": head, "notes": note.strip("\n").split("\n\n")}, indent=2, ensure_ascii=False))
    else:
        click.echo(note, nl=False)


def _show_records(revision: str, loaded: settings.Settings, form: str) -> None:
    head = full_sha(mirror_path(loaded.state), revision)
    records = [record for record in _records(loaded) if record.head == head]
    if not records:
        raise RefusedError(_nothing(head, "in the store"))
    if form == "json":
        click.echo(json.dumps({"revision": head, "decisions": msgspec.to_builtins(records)}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(note_text(record) for record in records), nl=False)


def _records(loaded: settings.Settings) -> Iterator[DecisionRecord]:
    """Yield the signed records of the store, oldest first."""
    store = loaded.open_store()
    keys = decision_keys(loaded.ring("pipeline"))
    for name in record_names(store):
        data = store.get(name)
        if data is not None:
            yield decode_record(envelope.verify(data, PAYLOAD_TYPE, keys, what=name))


def _nothing(head: str, where: str) -> str:
    return f"no decision about {head} {where}; fetch refs/notes/ordain/*, or look with --state on the reconciler's host"
