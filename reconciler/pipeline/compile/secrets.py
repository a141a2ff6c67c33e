"""Secrets by reference: where a component's come from, and where references to them may stand.

A release never has a secret's value. It has the reference in the text, and with it either ciphertext from git or where the host
finds the value itself. References work in contents of files and in environments of processes, for these alone reach one account:
a command is in every process list, a unit and a block of a shared file are for all to read.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from agent.protocol import rendering
from agent.protocol.errors import MalformedError
from agent.protocol.state import SEALED_LIMIT
from reconciler.pipeline.compile import manifest, sops
from reconciler.pipeline.compile.findings import across, did_you_mean
from reconciler.pipeline.compile.parts import Part
from reconciler.pipeline.compile.texts import Text, read_source
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.tree import Tree

AGE_BINARY, AGE_ARMOURED = b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----"
"""How age files begin: https://age-encryption.org/v1."""
PRIVATE = 0o177
"""What nobody but the owner may have, and the owner doesn't need."""


def is_age(data: bytes) -> bool:
    """Return whether a file is encrypted with age, armoured or not."""
    return data.lstrip().startswith(AGE_ARMOURED) or data.startswith(AGE_BINARY)


def fields_of_secret(part: Part, resolved: Mapping[str, Any], tree: Tree) -> dict[str, Any]:
    """Return the fields of a state's secret in plain values; raise `MalformedError` for a source that can't be one."""
    fields: dict[str, Any] = {"name": resolved.get("name")}
    for name in ("vault", "file"):
        if name in resolved:
            fields[name] = resolved[name]
    source = manifest.text(part.item.get("source"))
    path = manifest.source_path(part.document, source) if source else None
    data = read_source(tree, path) if path is not None else None
    if data is not None:
        fields |= sealed_fields(data, manifest.text(part.item.get("key")))
    return fields


def sealed_fields(data: bytes, key: str) -> dict[str, Any]:
    """Return the field of a state's secret that an encrypted file makes.

    Raises:
        MalformedError: it is not encrypted, too large, or does not have what `key` names.
    """
    if len(data) > SEALED_LIMIT:
        message = f"it has {len(data):,} bytes, more than the {SEALED_LIMIT:,} that a secret may have: deliver what is large otherwise"
        raise MalformedError(message)
    if not is_age(data):
        return {"sops": msgspec.to_builtins(sops.parse(data).source(key))}
    if key:
        message = "key belongs to a SOPS file, and this is an age file: all of it is the secret"
        raise MalformedError(message)
    return {"age": base64.b64encode(data).decode()}


def check_secrets(component: Document, tree: Tree, texts: Iterable[Text]) -> Iterator[Finding]:
    """Yield what is wrong with a component's secrets by themselves: their sources, and where references to them stand."""
    for index, item in manifest.items(component, "secrets"):
        yield from _check_source(component, tree, ("spec", "secrets", index), item)
    for text in texts:
        for space, name, offset in text.used:
            if space == "secret":
                yield from _check_place(component, text, name, offset)
    yield from _check_modes(component, tree)


def check_declared(user: Document, texts: Iterable[Text], parts: Iterable[Part]) -> Iterator[Finding]:
    """Yield references to secrets that are declared nowhere within reach: of a fleet, or of a component with its includes."""
    known = {part.name for part in parts}
    for text in texts:
        for space, name, offset in text.used:
            if space == "secret" and name not in known and _may_refer(text):
                message = f"${{secret.{name}}}: no secret {name} is declared; {did_you_mean(name, known)}"
                remedy = f"declare it under spec.secrets of {text.document.path}, or write $${{secret.{name}}} for the literal text"
                yield across("undeclared-secret", text.document, (), message, remedy=remedy, place=text.place(offset), also=[user])


def check_unused(texts: Iterable[Text], parts: Iterable[Part]) -> Iterator[Finding]:
    """Yield a warning for each secret of a fleet that no text of it refers to."""
    used = {name for text in texts for space, name, _ in text.used if space == "secret"}
    for part in parts:
        if part.name not in used:
            message = f"secret {part.name} is declared, and no text of this fleet refers to it"
            remedy = f"write ${{secret.{part.name}}} where it is needed, or remove it: each host would have to be able to get it"
            yield across("unused-secret", part.document, part.at("name"), message, remedy=remedy, action="warn")


def _may_refer(text: Text) -> bool:
    """Return whether references to secrets are filled in in a text."""
    match text.pointer:
        case (_, "files", int(), "content" | "source"):
            return True
        case (_, "processes", int(), "environment", str()):
            return True
        case _:
            return False


def _check_place(component: Document, text: Text, name: str, offset: int) -> Iterator[Finding]:
    if not _may_refer(text):
        message = (
            f"${{secret.{name}}} stands where others can read it: secrets are filled in in contents of files and environments of processes"
        )
        remedy = "put it into a file of mode 0600 or into the environment of a process, and name that file here"
        yield across("secret-place", component, (), message, remedy=remedy, place=text.place(offset))


def _check_source(component: Document, tree: Tree, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Finding]:
    source = manifest.text(item.get("source"))
    path = manifest.source_path(component, source) if source else None
    data = read_source(tree, path) if path is not None else None
    if data is None:
        return  # that it is missing is said where all sources are looked at
    try:
        sealed_fields(data, manifest.text(item.get("key")))
    except MalformedError as error:
        remedy = "encrypt it with `ordain secrets encrypt`, age or sops, and change what was in git unencrypted wherever it is used"
        yield across("secret-source", component, (*pointer, "source"), f"{source}: {error}", remedy=remedy)


def _check_modes(component: Document, tree: Tree) -> Iterator[Finding]:
    for index, item in manifest.items(component, "files"):
        stated = manifest.text(item.get("mode"))
        if not stated or not _holds_secret(component, item, tree) or not int(stated, 8) & PRIVATE:
            continue
        message = f"{item.get('path')} holds a secret, and mode {stated} gives more than its owner needs"
        remedy = 'write mode: "0600" or less, or leave it out, and give the file the owner that reads it'
        yield across("secret-mode", component, ("spec", "files", index, "mode"), message, remedy=remedy)


def _holds_secret(component: Document, item: Mapping[str, Any], tree: Tree) -> bool:
    path = manifest.source_path(component, source) if (source := manifest.text(item.get("source"))) else None
    data = read_source(tree, path) if path is not None else None
    written = manifest.text(item.get("content")) if data is None else data.decode(errors="replace")
    return bool(rendering.secrets_in(written))
