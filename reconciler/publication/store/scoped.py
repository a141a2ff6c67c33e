"""A store as one zone sees it. Buckets' policies say the same once more, to whoever took a zone over: see docs/object-stores.md."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from agent.protocol.errors import RefusedError
from reconciler.publication.store.interface import Entry, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoped:
    """A store as one zone sees it: it reads everything, and writes under its own prefixes only."""

    inner: Store
    write: tuple[str, ...]

    def get(self, key: str) -> bytes | None:
        """Return what stands at `key`, as `Store.get`."""
        return self.inner.get(key)

    def version(self, key: str) -> str | None:
        """Return the version of what stands at `key`, as `Store.version`."""
        return self.inner.version(key)

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return what stands at `key` and its version, as `Store.get_versioned`."""
        return self.inner.get_versioned(key)

    def create(self, key: str, data: bytes) -> bool:
        """Put `data` at a key of this zone, as `Store.create`."""
        return self.inner.create(self._own(key), data)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Put `data` at a key of this zone, as `Store.replace`."""
        return self.inner.replace(self._own(key), data, version)

    def size(self, key: str) -> int | None:
        """Return the bytes of what stands at `key`, as `Store.size`."""
        return self.inner.size(key)

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return a part of what stands at `key`, as `Store.read_range`."""
        return self.inner.read_range(key, start, length)

    def create_from(self, key: str, chunks: Iterable[bytes]) -> bool:
        """Put what `chunks` yield at a key of this zone, as `Store.create_from`."""
        return self.inner.create_from(self._own(key), chunks)

    def list(self, prefix: str, *, deep: bool = True) -> Iterator[str]:
        """Yield keys, as `Store.list`."""
        return self.inner.list(prefix, deep=deep)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield what stands, as `Store.entries`."""
        return self.inner.entries(prefix)

    def delete(self, key: str) -> None:
        """Remove what stands at a key of this zone, as `Store.delete`."""
        self.inner.delete(self._own(key))

    def sweep(self, prefix: str) -> None:
        """Sweep below a prefix of this zone, as `Store.sweep`."""
        self.inner.sweep(self._own(prefix))

    def together(self) -> AbstractContextManager[None]:
        """Put several, as `Store.together`."""
        return self.inner.together()

    def _own(self, key: str) -> str:
        if not key.startswith(self.write):
            message = f"{key}: this zone writes under {', '.join(self.write)} only"
            raise RefusedError(message)
        return key


PIPELINE_PREFIXES = ("approved/",)
"""What `reconcile` alone writes."""
CONTROL_PREFIXES = ("public/", "records/")
"""What `serve` alone writes."""
