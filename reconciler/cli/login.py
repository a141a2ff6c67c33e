"""`ordain login|logout|whoami`: signing in at a server, and out."""

import json
import re
import sys
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from agent.protocol.errors import InputError, OrdainError, RefusedError
from reconciler.cli import logins
from reconciler.cli.connection import FORMAT, Server, checked, reach, reaching, read_roots
from reconciler.cli.device import Code, id_token
from reconciler.cli.first_sight import published_roots
from reconciler.cli.tables import listed, table
from reconciler.printable import printable

_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")


@click.command()
@click.option("--server", required=True, help="Address of the server: https://ordain.example.com:8420.")
@click.option("--authority", type=click.Path(dir_okay=False, path_type=Path), help="File with the roots of its authority (PEM).")
@click.option("--fingerprint", help="SHA-256 of its root, in place of the file: ask whoever runs the server.")
@click.option("--token", "from_stdin", is_flag=True, help="Take an operator's token from stdin instead of signing in.")
def login(server: str, authority: Path | None, fingerprint: str | None, from_stdin: bool) -> None:  # noqa: FBT001
    """Sign in at a server: open a page, type a code. What you may do there, Role manifests say.

    The server is known by its authority's root from then on. Where neither --authority nor --fingerprint says which that is, its
    fingerprint is shown, and you are asked.

    \b
    Examples:
      ordain login --server https://ordain.example.com:8420 --fingerprint 5f3a…
      ordain login --server https://ordain.example.com:8420 --token < token.txt
    """
    url = checked(server)
    roots = read_roots(authority) if authority else _roots(url, fingerprint)
    target = Server(url=url, authority=roots)
    found = _by_token(target) if from_stdin else _by_sign_in(target)
    file = logins.place()
    known = logins.read(file)
    logins.write(file, logins.Logins(current=url, servers={**known.servers, url: found}))
    click.echo(f"signed in at {url} as {printable(found.subject)}{f' until {found.expires}' if found.expires else ''}", err=True)


def _roots(url: str, fingerprint: str | None) -> str:
    """Return the roots of a server (PEM) that fit a fingerprint, or that a person agrees to."""
    if fingerprint is not None and not _FINGERPRINT.fullmatch(fingerprint.replace(":", "").strip()):
        message = f"--fingerprint {fingerprint!r}: write the SHA-256 of the root, 64 digits from 0 to f; whoever runs the server knows it"
        raise InputError(message)
    found = published_roots(url)
    prints = [x509.load_pem_x509_certificate(one.encode()).fingerprint(hashes.SHA256()).hex() for one in found]
    if fingerprint is not None:
        wanted = fingerprint.replace(":", "").strip().lower()
        fitting = [root for root, each in zip(found, prints, strict=True) if each == wanted]
        if not fitting:
            message = f"{url} shows the root {prints[0]}, which is not the one that you gave: do not trust it, and find out why"
            raise RefusedError(message)
        return "".join(fitting)
    if not sys.stdin.isatty():
        message = f"how is {url} known? Give --fingerprint, or --authority with a file that whoever runs it gave you"
        raise InputError(message)
    click.confirm(f"The root of {url} has the SHA-256\n  {prints[0]}\nIs it the one that whoever runs it told you?", abort=True, err=True)
    return found[0]


def _by_sign_in(target: Server) -> logins.Login:
    where = target.ask("GET", "/api/v1/sign-in")
    if not where["issuer"]:
        message = f"nobody signs in at {target.url}: it has no issuer of identities; ask for a token, and give it with --token"
        raise InputError(message)
    token = id_token(issuer=where["issuer"], client_id=where["clientId"], scope=where["scope"], show=_show)
    made = target.ask("POST", "/api/v1/sessions", body={"idToken": token})
    return logins.Login(token=made["token"], expires=made["expires"], subject=made["subject"], authority=target.authority)


def _show(code: Code) -> None:
    click.echo(f"Open {printable(code.complete or code.url)}\nand check, or type, the code {printable(code.code)}", err=True)


def _by_token(target: Server) -> logins.Login:
    token = sys.stdin.readline(4096).strip()
    who = Server(url=target.url, token=token, authority=target.authority).ask("GET", "/api/v1/whoami")
    return logins.Login(token=token, expires=who["expires"], subject=who["subject"], authority=target.authority)


@click.command()
@click.option("--server", help="Address of the server. [default: that of the last ordain login]")
def logout(server: str | None) -> None:
    """Sign out: the token is worth nothing from then on, and is forgotten here.

    \b
    Example:
      ordain logout
    """
    file = logins.place()
    known = logins.read(file)
    url = checked(server) if server else known.current
    login_ = known.servers.get(url)
    if login_ is None:
        message = f"nobody has signed in at {url or 'any server'} here"
        raise InputError(message)
    rest = {name: one for name, one in known.servers.items() if name != url}
    current = known.current if known.current != url else next(iter(rest), "")
    try:
        Server(url=url, token=login_.token, authority=login_.authority).ask("DELETE", "/api/v1/sessions/own")
    except OrdainError as error:
        click.echo(f"note: the server was not told ({error}); the token ends at {login_.expires}", err=True)
    logins.write(file, logins.Logins(current=current, servers=rest))
    click.echo(f"signed out at {url}", err=True)


@click.command()
@FORMAT
@reaching
def whoami(form: str, state: Path | None, server: str | None) -> None:
    """Show as whom the server knows you, and the roles that give you rights.

    \b
    Example:
      ordain whoami
    """
    target = reach(state=state, server=server)
    found = target.ask("GET", "/api/v1/whoami")
    if form == "json":
        return click.echo(json.dumps({"server": target.url, **found}, indent=2, ensure_ascii=False))
    fields = [
        ("server", target.url),
        ("subject", found["subject"]),
        ("also", ", ".join(found["groups"])),
        ("signed in by", found["kind"]),
        ("until", found["expires"]),
        ("only for", ", ".join([*found["scope"]["actions"], *found["scope"]["tenants"]])),
        ("runs", "the installation" if found["admin"] else ""),
    ]
    rows = [(role["tenant"], role["role"], ", ".join(role["fleets"]) or "all") for role in found["roles"]]
    for line in (*listed(fields), *table(("TENANT", "ROLE", "FLEETS"), rows)):
        click.echo(line)
    if not rows and not found["admin"]:
        click.echo("no Role manifest names you", err=True)
    return None
