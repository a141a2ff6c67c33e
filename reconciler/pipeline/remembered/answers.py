"""What a judge's object rules said of manifests, by all that they see: the manifest, its old version, its source files.

Only rules that can't read the change are answered from here (`Rule.reads_change`), and only where all of them had an answer.
"""

import hashlib
from typing import Any

import msgspec

from reconciler.pipeline.policy.recall import Item, Said
from reconciler.pipeline.remembered.sealed import Sealed

_Answers = dict[str, list[Any]]
"""Rule → its raw findings; a rule that found nothing is left out."""


class KnownAnswers:
    """The answers of one judge, whose digest is in `name`."""

    def __init__(self, sealed: Sealed, name: str) -> None:
        """Begin with what is kept under `name`."""
        self._sealed, self._name = sealed, name
        self._kept = sealed.decoded(name, dict[str, _Answers])
        self._used: dict[str, _Answers] = {}
        self.reused = self.asked = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is known, so that OPA is needed for certain."""
        return not self._kept

    def get(self, item: Item) -> Said | None:
        """Return what was answered about the same item, None where it must be asked about."""
        key = _key(item)
        found = self._used.get(key, self._kept.get(key)) if key else None
        if found is None:
            self.asked += 1
            return None
        self.reused += 1
        self._used[key] = found
        return found

    def put(self, item: Item, said: Said) -> None:
        """Keep what all rules that don't read the change answered about an item."""
        if key := _key(item):
            self._used[key] = dict(said)

    def save(self) -> None:
        """Keep what was used in this check, and as much again of what was not."""
        unused = [key for key in self._kept if key not in self._used][: len(self._used)]
        if self.asked:
            self._sealed.write(self._name, msgspec.msgpack.encode(self._used | {key: self._kept[key] for key in unused}))


def _key(item: Item) -> str:
    """Return what an answer depends on besides the judge; empty where a document's blob is not known."""
    document = item.document
    if not document.oid:
        return ""
    old = "" if item.old is None else hashlib.sha256(msgspec.msgpack.encode(item.old)).hexdigest()
    sources = hashlib.sha256(msgspec.msgpack.encode(sorted(item.sources.items()))).hexdigest() if item.sources else ""
    return f"{document.oid}:{document.index}:{old}:{sources}:{document.path}"
