"""A Signer manifest made of options and key files, held to its schema before anybody gets to see it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from agent.protocol.errors import InputError
from reconciler.pipeline.manifests import Layout, parse_file
from reconciler.pipeline.validation import validate

KEY_LIMIT = 64 * 1024
"""Bytes of a file with a public key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for; `ssh` and `gpg` are files of public keys, `until` a day or an instant."""

    name: str
    tenant: str = ""
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
        yield f"      until: {wanted.until if 'T' in wanted.until else wanted.until + 'T00:00:00Z'}"


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
