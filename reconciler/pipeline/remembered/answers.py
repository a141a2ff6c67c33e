"""What a judge's rules said of manifests and releases, by all that they see (see `policy.recall` for the keys).

Only rules that can't read the change are answered from here (`Rule.reads_change`), and only where all of them had an answer.
"""

from typing import Any

import msgspec

from reconciler.pipeline.policy.recall import Said
from reconciler.pipeline.remembered.sealed import Sealed

SPARED = 50_000
"""Answers, of some hundred bytes, that are kept though nobody used them: a plan of ten files asks little, and the next check asks all."""
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

    def get(self, key: str) -> Said | None:
        """Return what was answered about the same thing, None where it must be asked about."""
        found = self._used.get(key, self._kept.get(key)) if key else None
        if found is None:
            self.asked += 1
            return None
        self.reused += 1
        self._used[key] = found
        return found

    def put(self, key: str, said: Said) -> None:
        """Keep what all rules that don't read the change answered."""
        if key:
            self._used[key] = dict(said)

    def save(self) -> None:
        """Keep what was used in this run, and as much again of what was not, or `SPARED` where that is more."""
        unused = [key for key in self._kept if key not in self._used][: max(SPARED, len(self._used))]
        if self.asked:
            self._sealed.write(self._name, msgspec.msgpack.encode(self._used | {key: self._kept[key] for key in unused}))
