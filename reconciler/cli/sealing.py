"""`ordain secrets`: encrypting a value on its author's machine, to the hosts of a fleet and nobody else."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import click

from agent.protocol import durable
from agent.protocol.errors import InputError
from agent.protocol.state import SECRET_LIMIT
from reconciler.cli.sources import head_of, place_of
from reconciler.pipeline.acceptance.corpus import load
from reconciler.pipeline.compile.findings import named
from reconciler.pipeline.compile.groups import members_of
from reconciler.pipeline.compile.recipients import BESIDE, RECIPIENT, own, read_recipients, shared, unknown
from reconciler.pipeline.compile.world import World

Named = tuple[str, str]
"""(recipient, whose it is)."""


@click.group()
def secrets() -> None:
    """Encrypt values to hosts, so that git holds what only they can read.

    \b
    Example:
      ordain secrets encrypt --to shop/web db-password.txt -o tenants/shop/components/files/db-password.age
    """


@secrets.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--to", "to", multiple=True, metavar="AGE1…|TENANT/FLEET", help="A recipient, or a fleet, whose members' are looked up.")
@click.option("--recipients", "listed", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with one a line.")
@click.option("--repository", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where it goes, with <output>.recipients beside it.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to say what was done.")
def encrypt(file: BinaryIO, *, to: Sequence[str], listed: Path | None, repository: Path, output: Path | None, form: str) -> None:
    """Encrypt FILE (or standard input) with age. Without --output the armoured file is printed.

    A fleet's recipients are its own (spec.recipients of the Fleet) or, where it has none, those of its hosts (spec.recipient of each
    Agent). Encrypt again when a host joins: `ordain check` says which can't open it.

    \b
    Examples:
      ordain secrets encrypt --to shop/web db-password.txt -o tenants/shop/components/files/db-password.age
      pass show db | ordain secrets encrypt --recipients team.txt > files/db.age
    """
    import pyrage  # noqa: PLC0415 - for this command alone

    chosen = dict(_recipients(to, listed, repository))
    if not chosen:
        message = "say whom to encrypt to: --to age1…, --to TENANT/FLEET, or --recipients FILE"
        raise InputError(message)
    data = file.read(SECRET_LIMIT + 1)
    if not data or len(data) > SECRET_LIMIT:
        message = f"there is nothing to encrypt, or more than the {SECRET_LIMIT:,} bytes that a secret may have"
        raise InputError(message)
    try:
        keys = [pyrage.x25519.Recipient.from_str(one) for one in chosen]
    except pyrage.RecipientError as error:
        message = "one of the recipients is misspelt: its check digits don't fit"
        raise InputError(message) from error
    sealed = pyrage.encrypt(data, keys, armored=True)
    if output is None:
        sys.stdout.buffer.write(sealed)
        return
    durable.replace(output, sealed)
    beside = output.with_name(output.name + BESIDE)
    durable.replace(beside, "".join(f"{one} # {whose}\n" for one, whose in chosen.items()).encode())
    _say(output, beside, chosen, form)


def _say(output: Path, beside: Path, chosen: dict[str, str], form: str) -> None:
    if form == "json":
        click.echo(json.dumps({"file": str(output), "recipientsFile": str(beside), "recipients": chosen}, indent=2))
        return
    click.echo(f"{output}: encrypted to {named(list(chosen.values()), limit=10)}")
    click.echo(f"commit it with {beside.name}, and remove the file that holds the value", err=True)


def _recipients(to: Sequence[str], listed: Path | None, repository: Path) -> Iterator[Named]:
    """Yield each recipient that was asked for; raise `InputError` for a name that leads to none."""
    world: World | None = None
    for one in to:
        if RECIPIENT.fullmatch(one):
            yield one, one[:12] + "…"
        elif one.count("/") == 1:
            world = world or load(head_of(place_of(repository), None)[0]).world
            yield from _of_fleet(world, one)
        else:
            message = f"--to {one}: write a recipient (age1 and 58 letters and digits), or a fleet as TENANT/FLEET"
            raise InputError(message)
    if listed is not None:
        found = read_recipients(listed.read_text(errors="replace"))
        if not found:
            message = f"{listed} lists no recipient (age1…), one a line"
            raise InputError(message)
        yield from ((one, f"{one[:12]}… of {listed.name}") for one in found)


def _of_fleet(world: World, name: str) -> Iterator[Named]:
    tenant, _, short = name.partition("/")
    fleet = world.fleet((tenant, short))
    if fleet is None:
        message = f"--to {name}: there is no such fleet in this repository; --repository says where it is"
        raise InputError(message)
    keys = shared(fleet)
    members = members_of(world, tenant, fleet)
    missing = unknown(members)
    if not members and not keys:
        message = f"fleet {name} has no members, so there is nobody to encrypt to"
        raise InputError(message)
    if not keys and missing:
        message = (
            f"fleet {name} has no key of its own, and {named(missing, limit=9)} no recipient in git; write "
            "what `ordain-agent secrets show` prints there into spec.recipient of the Agent, or give the fleet spec.recipients"
        )
        raise InputError(message)
    yield from ((one, f"fleet {name}") for one in keys)
    if not keys:
        yield from ((own(document), f"{tenant}/{member}") for member, document in members.items())
