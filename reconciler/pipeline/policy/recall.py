"""Not asking again: what a judge's rules said of the very same thing holds, unless a rule may look at the change around it.

An object is known by its file's content, and all else that rules are asked about (releases, finished states) by all that they see.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from reconciler.pipeline.manifests import Document
from reconciler.pipeline.policy.batches import Answer
from reconciler.pipeline.policy.metadata import Rule

Said = Mapping[str, list[Any]]
"""Rule → its raw findings; a rule that found nothing is left out."""


class Item(Protocol):
    """All that object rules see of a manifest, but for the change."""

    @property
    def document(self) -> Document:
        """The manifest."""
        ...

    @property
    def old(self) -> Mapping[str, Any] | None:
        """Its accepted version."""
        ...

    @property
    def sources(self) -> Mapping[str, str]:
        """The texts of its source files."""
        ...


class Answers(Protocol):
    """What remembers what one judge's rules said, of those rules that can't read the change; nothing under an empty key."""

    def get(self, key: str) -> Said | None:
        """Return what they all said of what has a key, None where they must be asked."""
        ...

    def put(self, key: str, said: Said) -> None:
        """Keep what they all said."""
        ...


def object_key(item: Item) -> str:
    """Return what an answer about a manifest depends on besides the judge; empty where a document's blob is not known."""
    document = item.document
    if not document.oid:
        return ""
    old = "" if item.old is None else hashlib.sha256(msgspec.msgpack.encode(item.old)).hexdigest()
    sources = hashlib.sha256(msgspec.msgpack.encode(sorted(item.sources.items()))).hexdigest() if item.sources else ""
    return f"{document.oid}:{document.index}:{old}:{sources}:{document.path}"


def input_key(seen: Mapping[str, Any], rules: str) -> str:
    """Return what any other answer depends on: all that is seen, and which rules are asked with which parameters (`rules`, a digest)."""
    try:
        return rules + hashlib.sha256(msgspec.json.encode(seen)).hexdigest()
    except (ValueError, RecursionError):  # an odd value that only Python's own encoder takes
        return ""


def told(known: Sequence[Said | None]) -> list[Answer]:
    """Return what is known, by number, as if it had been asked just now."""
    return [
        Answer(number=number, rule=rule, findings=raw)
        for number, said in enumerate(known)
        if said is not None
        for rule, raw in said.items()
    ]


def learn(answers: Answers, keys: Sequence[str], known: Sequence[Said | None], fresh: Sequence[Answer], rules: Mapping[str, Rule]) -> None:
    """Keep what was said of those that were not known, by their keys; nothing of one that a rule had trouble with."""
    said: dict[int, dict[str, list[Any]]] = {number: {} for number, each in enumerate(known) if each is None}
    for answer in fresh:
        if answer.number not in said:
            continue
        if answer.trouble or not isinstance(answer.findings, list):
            del said[answer.number]
        elif not rules[answer.rule].reads_change:
            said[answer.number][answer.rule] = answer.findings
    for number, each in said.items():
        answers.put(keys[number], each)
