"""A Signer manifest made of options and key files, held to its schema before anybody gets to see it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent

from agent.protocol.errors import InputError, MalformedError
from reconciler.pipeline.manifests import Layout, parse_file
from reconciler.pipeline.validation import validate
from reconciler.publication.times import instant, stamp

_WILD = re.compile(r"[*?]")
"""Where a pattern begins to match more than itself."""
KEY_LIMIT = 64 * 1024
"""Bytes of a file with a public key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for; `ssh` and `gpg` are files of public keys, `until` a day or an instant."""

    name: str
    tenant: str = ""
    tenants: str = Layout().tenants
    """The directory in which tenants lie."""
    ssh: tuple[Path, ...] = ()
    gpg: tuple[Path, ...] = ()
    paths: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    until: str | None = None
    role: str = "person"
    owner: bool = False


def manifest(wanted: Wanted, place: str) -> str:
    """Return the text of a Signer manifest for a file.

    Raises:
        InputError: a key can't be read, or what is wanted is no valid signer.
    """
    if not (wanted.ssh or wanted.gpg):
        message = f"--ssh-key or --gpg-key is missing: name the file of the public key that {wanted.name} signs with"
        raise InputError(message)
    if not wanted.paths and not wanted.owner and wanted.role != "forge":
        reach = f"{wanted.tenants}/{wanted.tenant or 'shop'}/**"
        message = f"--paths or --policy-owner is missing: say what commits of {wanted.name} may touch, such as --paths '{reach}'"
        raise InputError(message)
    for path in wanted.paths if wanted.tenant else ():
        _require_reach(path, f"{wanted.tenants}/{wanted.tenant}/")
    text = "\n".join(_lines(wanted)) + "\n"
    parsed = parse_file(place, text.encode())
    found = [*parsed.findings, *(one for document in parsed.documents for one in validate(document, Layout()))]
    for one in found:
        message = f"{one.message}; {one.remedy}"
        raise InputError(message)
    return text


def _lines(wanted: Wanted) -> Iterator[str]:
    owner = f", tenant: {json.dumps(wanted.tenant)}" if wanted.tenant else ""
    yield "apiVersion: ordain.dev/v1"
    yield "kind: Signer"
    yield re.sub(r'"([a-z0-9-]*[a-z][a-z0-9-]*)"', r"\1", f"metadata: {{name: {json.dumps(wanted.name)}{owner}}}")
    yield "spec:"
    if wanted.role != "person":
        yield f"  role: {wanted.role}"
    if wanted.owner:
        yield "  policyOwner: true"
    yield "  keys:"
    for file in wanted.ssh:
        yield f"    - ssh: {json.dumps(_read(file, b'').strip(), ensure_ascii=False)}"
        yield from _until(wanted)
    for file in wanted.gpg:
        yield "    - gpg: |"
        yield indent(_read(file, b"-----BEGIN PGP PUBLIC KEY BLOCK-----").strip(), " " * 10)
        yield from _until(wanted)
    if wanted.paths:
        kinds = f", kinds: [{', '.join(wanted.kinds)}]" if wanted.kinds else ""
        yield "  may:"
        yield f"    - {{paths: [{', '.join(json.dumps(path) for path in wanted.paths)}]{kinds}}}"


def _until(wanted: Wanted) -> Iterator[str]:
    if wanted.until:
        yield f"      until: {_instant(wanted.until)}"


def _instant(text: str) -> str:
    """Return the instant that a day or an instant means."""
    try:
        return f"{datetime.strptime(text, '%Y-%m-%d').replace(tzinfo=UTC):%Y-%m-%d}T00:00:00Z"
    except ValueError:
        pass
    try:
        return stamp(instant(text, what="--until"))
    except MalformedError as error:
        message = f"--until {text}: write a day or an instant in UTC, such as 2027-11-30 or 2027-11-30T18:00:00Z"
        raise InputError(message) from error


def _require_reach(glob: str, home: str) -> None:
    """Raise `InputError` for a pattern that matches nothing in a tenant's own directory, the one place where its signers reach."""
    stem = _WILD.split(glob, maxsplit=1)[0]
    if not (stem.startswith(home) or (stem != glob and home.startswith(stem))):
        message = (
            f"--paths {glob}: reaches nothing, since a signer of a tenant may touch {home} alone; write {home}**, or leave --tenant out"
        )
        raise InputError(message)


def _read(file: Path, begin: bytes) -> str:
    """Return a public key; one that is private never gets into a manifest."""
    data = file.read_bytes()[: KEY_LIMIT + 1]
    if len(data) > KEY_LIMIT or b"PRIVATE KEY" in data or not data.startswith(begin):
        message = f"{file}: not a public key; name the .pub file, or what `gpg --armor --export` prints"
        raise InputError(message)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        message = f"{file}: not a public key in text; `gpg --armor --export` prints one"
        raise InputError(message) from error
