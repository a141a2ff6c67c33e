"""Commands about this host's key for secrets: made here, never leaving; what it prints is public."""

import json
import os
from pathlib import Path
from typing import Literal

import click

from agent.disk import Disk
from agent.protocol.errors import InputError
from agent.secrets.keys import HostKeys
from agent.settings import DEFAULT_STATE

Form = Literal["text", "json"]
_state = click.option(
    "--state", type=click.Path(path_type=Path), default=DEFAULT_STATE, show_default=True, help="The agent's own directory."
)
_format = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")


@click.group()
def secrets() -> None:
    """Look after the key that secrets for this host are encrypted to.

    \b
    Examples:
      ordain-agent secrets init          make the key, and print whom to encrypt to
      ordain-agent secrets show          print that again
    """


@secrets.command()
@_state
@_format
def init(state: Path, form: Form) -> None:
    """Make this host's key, unless it has one, and print its recipient: whom to encrypt to.

    The key stays in <state>/secrets/host.key, which only its owner reads. A host that is set up anew has another one.

    \b
    Example:
      ordain-agent secrets init
    """
    disk = Disk(root=state)
    disk.make()
    _print(HostKeys(directory=disk.secrets).make(), form)


@secrets.command()
@_state
@_format
def show(state: Path, form: Form) -> None:
    """Print this host's recipient again.

    \b
    Example:
      ordain-agent secrets show          age1…, for `ordain secrets encrypt --to age1…`
    """
    keys = HostKeys(directory=Disk(root=state).secrets)
    found = keys.recipient()
    if not found:
        why = "may not be read by this user" if _is_hidden(keys.identity) else "is not there"
        message = f"{keys.identity} {why}; `ordain-agent secrets init` makes it"
        raise InputError(message)
    _print(found, form)


def _is_hidden(path: Path) -> bool:
    return any(place.exists() and not os.access(place, os.R_OK | os.X_OK) for place in (path.parent.parent, path.parent))


def _print(recipient: str, form: Form) -> None:
    click.echo(json.dumps({"recipient": recipient}, indent=2) if form == "json" else recipient)
