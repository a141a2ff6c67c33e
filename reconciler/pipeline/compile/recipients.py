"""Whom a fleet's secrets are encrypted to, as far as git knows it: hosts by their own keys, or all of a fleet by one that they share.

An age file does not say whom it is for, so `ordain secrets encrypt` writes that beside it (`<file>.recipients`); SOPS says it itself.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from agent.protocol.errors import MalformedError
from reconciler.pipeline.compile import manifest, sops
from reconciler.pipeline.compile.findings import across, named
from reconciler.pipeline.compile.parts import Part
from reconciler.pipeline.compile.secrets import is_age
from reconciler.pipeline.compile.texts import read_source
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.tree import Tree

BESIDE = ".recipients"
"""What is added to the name of an age file for the one that says whom it is for: a recipient a line, after # what people want to know."""
RECIPIENT = re.compile(r"age1[0-9a-z]{58}")


def read_recipients(text: str) -> tuple[str, ...]:
    """Return the recipients that a file lists, one a line; all else is for people."""
    stated = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(line for line in stated if RECIPIENT.fullmatch(line))


def shared(fleet: Document) -> tuple[str, ...]:
    """Return the recipients of a fleet's own keys."""
    return tuple(one for one in manifest.sequence(fleet.spec.get("recipients")) if isinstance(one, str))


def unknown(members: Mapping[str, Document]) -> list[str]:
    """Return the members whose own recipient git does not know; a pool's agents have keys that nobody knows beforehand."""
    return [name for name, document in members.items() if not own(document)]


def own(member: Document) -> str:
    """Return the recipient of a host, empty where its manifest does not say."""
    return manifest.text(member.spec.get("recipient")) if member.kind == "Agent" else ""


def check_recipients(fleet: Document, parts: Iterable[Part], members: Mapping[str, Document], tree: Tree) -> Iterator[Finding]:
    """Yield a warning for each encrypted secret of a fleet that some of its members are known not to be able to open."""
    for part in parts:
        stated = _stated(part, tree)
        if stated is None or {*shared(fleet)} & stated:
            continue
        left_out = [name for name, member in members.items() if member.kind == "AgentPool" or (own(member) and own(member) not in stated)]
        if left_out:
            message = f"{named(left_out)} can't open secret {part.name}: it is encrypted to others"
            remedy = "encrypt it again with `ordain secrets encrypt --to` this fleet; pools need a key of the fleet's (spec.recipients)"
            yield across("secret-recipients", part.document, part.at("source"), message, remedy=remedy, also=[fleet], action="warn")


def _stated(part: Part, tree: Tree) -> set[str] | None:
    """Return whom a secret's file is encrypted to, None where that is not known."""
    source = manifest.text(part.item.get("source"))
    path = manifest.source_path(part.document, source) if source else None
    data = read_source(tree, path) if path is not None else None
    if path is None or data is None:
        return None
    if not is_age(data):
        try:
            return {*sops.parse(data).recipients}
        except MalformedError:
            return None
    beside = read_source(tree, path + BESIDE)
    return None if beside is None else {*read_recipients(beside.decode(errors="replace"))}
