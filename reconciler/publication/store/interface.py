"""What every store does, and which keys it takes: the same in a directory and in an object store."""

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agent.protocol.errors import MalformedError

KEY_LIMIT = 900
"""Characters of a key: an object store takes 1,024 bytes, its own prefix included."""
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,249}")
"""One part of a key: a file name on any system, none that begins with a dot (no `..`, no temporary files)."""
OBJECT_LIMIT = 512 * 1024 * 1024
"""Bytes of one object: the largest artifact that fits in memory; stops a damaged store from filling it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stands at a key: its bytes, and when it was put there last, by the clock of whoever keeps the store."""

    key: str
    size: int
    written: datetime


class Store(Protocol):
    """What every store does; keys outside its grammar raise `MalformedError`, trouble on the way `RetryError`."""

    def get(self, key: str) -> bytes | None:
        """Return what stands at `key`, None if nothing does."""
        ...

    def version(self, key: str) -> str | None:
        """Return an opaque version of what stands at `key`, None if nothing does."""
        ...

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return what stands at `key` and its version, read together."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Put `data` at `key` unless something is there; return whether it was put."""
        ...

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Put `data` at `key` if it still has `version` (None: if nothing is there); return whether it was put."""
        ...

    def size(self, key: str) -> int | None:
        """Return the bytes of what stands at `key`, None if nothing does."""
        ...

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return up to `length` bytes of what stands at `key` from byte `start` on, None if nothing does.

        For what is too large to be held at once; only keys that are written once and never replaced give one content.
        """
        ...

    def create_from(self, key: str, chunks: Iterable[bytes]) -> bool:
        """Put what `chunks` yield at `key` unless something is there, as `create`; an error of theirs leaves nothing there."""
        ...

    def list(self, prefix: str, *, deep: bool = True) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, sorted.

        Unless `deep`, what lies below a further `/` is one entry that ends with it: `list("trust/", deep=False)`
        yields `trust/lab/`, `trust/shop/`.
        """
        ...

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield what stands at each key that begins with `prefix`, sorted by key; what is deleted meanwhile may be missing."""
        ...

    def delete(self, key: str) -> None:
        """Remove what stands at `key`, if anything does."""
        ...

    def sweep(self, prefix: str) -> None:
        """Remove what writers that were killed left unfinished below `prefix`, a directory's; for its only writer, at its start."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Let what is put in the block survive a power loss at its end only: for several, of which none is relied on before."""
        ...


def require_key(key: str) -> str:
    """Return `key` if it is one; raise `MalformedError` if it is absolute, too long, or could leave the store."""
    if len(key) > KEY_LIMIT or not all(PART.fullmatch(part) for part in key.split("/")):
        message = f"{key[:100]!r} is not a store key (parts of A-Z, a-z, 0-9, '_', '.', '-', joined by '/', none beginning with '.')"
        raise MalformedError(message)
    return key
