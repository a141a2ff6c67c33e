"""What a long replay found out, kept while it goes on: one that is killed goes on from there.

All of it is kept, not only what the last run used: the same history is replayed again and again while a rule is written.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from reconciler.pipeline.remembered.sealed import Sealed

EVERY = 5.0
"""Seconds between two times that it is written: what a kill loses, and about what it costs to write a hundred thousand answers."""
_Answer = TypeVar("_Answer")


class Replays(Generic[_Answer]):
    """The answers of one judge, by all that they depend on besides it."""

    def __init__(self, sealed: Sealed, name: str, kind: type[dict[str, _Answer]]) -> None:
        """Begin with what is kept under `name`, which says which judge; what can't be believed is dropped, and `poisoned` says so."""
        self._sealed, self._name = sealed, name
        dropped = sealed.dropped
        self._known: dict[str, _Answer] = sealed.decoded(name, kind)
        self.poisoned = sealed.dropped > dropped
        self._saved = time.monotonic()
        self._new = False
        self.reused = self.asked = 0

    def get(self, key: str) -> _Answer | None:
        """Return what was answered earlier, None where it must be worked out."""
        found = self._known.get(key)
        self.reused += found is not None
        return found

    def put(self, key: str, answer: _Answer, *, lasting: bool) -> None:
        """Count an answer, and keep it where it is `lasting`: what could not be judged is not."""
        self.asked += 1
        if lasting:
            self._known[key] = answer
            self._new = True
            if time.monotonic() - self._saved > EVERY:
                self.save()

    @contextmanager
    def saved(self) -> Iterator[None]:
        """Keep what is known at the end, however that comes about."""
        try:
            yield
        finally:
            self.save()

    def forget(self) -> None:
        """Keep nothing: what was worked out has been told."""
        self._known, self._new = {}, False
        self._sealed.write(self._name, msgspec.msgpack.encode(self._known))

    def save(self) -> None:
        """Write what is new."""
        if self._new:
            self._sealed.write(self._name, msgspec.msgpack.encode(self._known))
            self._saved, self._new = time.monotonic(), False
