"""Commands about who this host is: `enroll` and `whoami`."""

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import click
import msgspec

from agent.disk import Disk, read_optional
from agent.protocol.enrolment import TOKEN_LIMIT, read_token
from agent.protocol.errors import InputError
from agent.protocol.identity import require_label
from agent.settings import DEFAULT_CONFIG, DEFAULT_STATE, require_directory, require_identity, require_server

Form = Literal["text", "json"]
RUNNING = "an ordain-agent runs with this state directory; stop it first, it goes on as whoever you enrol"
PLATFORM_LIMIT = 32_768
"""Bytes of a platform's token: one with many groups has some thousand."""
_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")

state_option = click.option(
    "--state", type=click.Path(path_type=Path), default=DEFAULT_STATE, show_default=True, help="The agent's own directory."
)
format_option = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


@click.command()
@click.option("--server", required=True, help="Where agents are served: https://…")
@click.option("--token", help="The token, or - to read it from stdin, where no list of processes shows it.")
@click.option("--token-file", type=click.Path(path_type=Path), help="A file that holds the token.")
@click.option("--platform-token", type=click.Path(path_type=Path), help="A file with a token of this host's platform (OIDC), instead.")
@click.option("--tenant", help="With --platform-token: whose host this is.")
@click.option("--agent", help="With --platform-token: the name of an agent.")
@click.option("--pool", help="With --platform-token: the name of a pool.")
@click.option("--authority", multiple=True, help="With --platform-token: SHA-256 of a root of the server's authority; again for another.")
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), show_default=True, help="Work below this directory.")
@click.option("--config", type=click.Path(path_type=Path), help=f"agent.toml  [default: <root>{DEFAULT_CONFIG}]")
@state_option
@format_option
def enroll(*, server: str, root: Path, config: Path | None, state: Path, form: Form, **shown: Any) -> None:
    """Join: show a token, and get a certificate for a key that is made here and never leaves this host.

    Afterwards `ordain-agent run` needs no options. Called again with the same token, whatever interrupted it, it goes on where it was.

    \b
    Examples:
      ordain-agent enroll --server https://ordain.example.com:8420 --token-file /run/ordain.token
      echo "$TOKEN" | ordain-agent enroll --server https://ordain.example.com:8420 --token -
      ordain-agent enroll --server https://ordain.example.com:8420 --platform-token /var/run/secrets/tokens/ordain \\
        --tenant shop --pool runners --authority 3f1c…
    """
    from agent.host import Host  # noqa: PLC0415 - see cli.run
    from agent.joining.enrol import enrol  # noqa: PLC0415
    from agent.reporting.facts import gather  # noqa: PLC0415

    server = require_server(server)
    if not server.startswith("https://"):
        message = f"--server {server!r}: a host enrols over https only; without enrolment: ordain-agent run --server …"
        raise InputError(message)
    if urlsplit(server).path.strip("/"):
        message = f"--server {server!r}: agents are served at the root of an address; leave out what follows the port"
        raise InputError(message)
    root = require_directory(root)
    asked = _asked(server, shown)
    disk = Disk(root=state.absolute())
    facts = msgspec.to_builtins(gather(Host(root), frozenset()))
    with disk.lock("run", wait=0, refused=RUNNING):
        enrolled, news = enrol(asked, disk, root=root, config=(config or root / DEFAULT_CONFIG.lstrip("/")).absolute(), facts=facts)
    if form == "json":
        click.echo(json.dumps(whois(disk) | {"news": news}, indent=2))
        return
    known = enrolled.enrolment
    click.echo(f"{'enrolled' if news else 'enrolled already'} as {known.tenant}/{known.agent}, certificate until {_time(enrolled.ends)}")
    if news:
        click.echo(f"now: ordain-agent run{'' if state == DEFAULT_STATE else f' --state {state}'}", err=True)


def _asked(server: str, shown: dict[str, Any]) -> Any:
    """Return what this host has to show; raise `InputError` unless it is just one thing."""
    from agent.joining.enrol import Asked  # noqa: PLC0415 - see cli.run

    given = [name for name in ("token", "token_file", "platform_token") if shown[name] is not None]
    if len(given) != 1:
        message = "give one of --token, --token-file and --platform-token: `ordain token create` makes a token"
        raise InputError(message)
    named = [f"--{name}" for name in ("tenant", "agent", "pool", "authority") if shown[name]]
    if given != ["platform_token"]:
        if named:
            message = f"{', '.join(named)}: a token says that itself; these are for --platform-token"
            raise InputError(message)
        by_stdin = shown["token"] in (None, "-")
        token = read_token(_read(shown["token_file"], TOKEN_LIMIT) if by_stdin else shown["token"])
        return Asked(server=server, tenant=token.body.tenant, fingerprints=tuple(token.body.authority), token=token)
    if not (shown["tenant"] and shown["authority"]) or bool(shown["agent"]) == bool(shown["pool"]):
        message = "--platform-token needs --tenant, --authority, and one of --agent and --pool"
        raise InputError(message)
    for one in shown["authority"]:
        if not _FINGERPRINT.fullmatch(one.strip().replace(":", "")):
            message = f"--authority {one!r}: write the SHA-256 of the root, 64 digits from 0 to f; whoever runs the server knows it"
            raise InputError(message)
    require_identity(shown["tenant"], shown["agent"] or shown["pool"])
    require_label(shown["agent"] or shown["pool"], "--agent" if shown["agent"] else "--pool")
    return Asked(
        server=server,
        tenant=shown["tenant"],
        fingerprints=shown["authority"],
        platform=_read(shown["platform_token"], PLATFORM_LIMIT).strip(),
        agent=shown["agent"] or "",
        pool=shown["pool"] or "",
    )


def _read(path: Path | None, limit: int) -> str:
    """Return the text of a file, of stdin where there is none; raise `InputError` where it can't be read."""
    try:
        with sys.stdin.buffer if path is None else path.open("rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            message = f"{path or 'stdin'}: more than {limit} bytes are no token"
            raise InputError(message)
        return data.decode()
    except (OSError, UnicodeError) as error:
        message = f"{path or 'stdin'}: {getattr(error, 'strerror', None) or 'not text'}; it should hold a token"
        raise InputError(message) from error


@click.command()
@state_option
@format_option
def whoami(state: Path, form: Form) -> None:
    """Show as whom this host is enrolled, where, and until when its certificate holds.

    \b
    Example:
      ordain-agent whoami --format json
    """
    shown = whois(Disk(root=state))
    if form == "json":
        click.echo(json.dumps(shown, indent=2))
        return
    held = shown["certificate"]
    click.echo(f"{shown['tenant']}/{shown['agent']} at {shown['server']}, last contact {shown['lastContact'] or 'never'}")
    click.echo(f"certificate {held['sha256'][:16]} until {held['until']}{', which is over' if held['lapsed'] else ''}")
    if shown["left"]:
        click.echo(f"let go at {shown['left']['at']}: {shown['left']['why']}")


def whois(disk: Disk) -> dict[str, Any]:
    """Return as whom a host is enrolled, as plain values; raise `InputError` where it is not."""
    from agent.joining.identity import Identities  # noqa: PLC0415 - see cli.run
    from agent.operations.leave import read_left  # noqa: PLC0415
    from agent.reporting.status import Contact  # noqa: PLC0415

    enrolled = Identities(directory=disk.joining).current()
    if enrolled is None:
        message = f"{disk.root}: this host is not enrolled; `ordain-agent enroll --server URL --token …` does that"
        raise InputError(message)
    contact, left = read_optional(disk.contact, Contact), read_left(disk)
    return {
        "tenant": enrolled.enrolment.tenant,
        "agent": enrolled.enrolment.agent,
        "server": enrolled.enrolment.server,
        "certificate": {
            "sha256": enrolled.fingerprint,
            "from": _time(enrolled.begins),
            "until": _time(enrolled.ends),
            "lapsed": enrolled.ends < datetime.now(UTC),
        },
        "lastContact": contact.at if contact else None,
        "left": msgspec.to_builtins(left) if left else None,
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
