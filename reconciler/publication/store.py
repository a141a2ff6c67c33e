"""The store: what passes between the zones, and from them to agents, as keys and bytes.

Keys look like paths (`approved/shop/web/3.releases.json`) and mean the same in a directory and in an object store.
Two operations decide every race: `create` (only if absent) and `replace` (only if still the version that was read).
What `create` or `replace` reported as done survives a power loss. The local store is our own because obstore's never fsyncs.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from agent.protocol import codec, durable
from agent.protocol.errors import InputError, MalformedError, RefusedError, RetryError

KEY_LIMIT = 900
"""Characters of a key: an object store takes 1,024 bytes, its own prefix included."""
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,249}")
"""One part of a key: a file name on any system, none that begins with a dot (no `..`, no temporary files)."""
OBJECT_LIMIT = 512 * 1024 * 1024
"""Bytes of one object: the largest artifact that fits in memory; stops a damaged store from filling it."""


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


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A store in a directory of its own; versions are the SHA-256 of the content.

    Symbolic links inside it are refused: they could lead out of it.
    """

    root: Path

    def get(self, key: str) -> bytes | None:
        """Return what stands at `key`, as `Store.get`."""
        path = self._path(key)
        with _trouble(path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                with os.fdopen(descriptor, "rb") as stream:
                    return self._read(path, stream)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def version(self, key: str) -> str | None:
        """Return the SHA-256 of what stands at `key`."""
        data = self.get(key)
        return None if data is None else codec.sha256(data)

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return what stands at `key` and its SHA-256."""
        data = self.get(key)
        return None if data is None else (data, codec.sha256(data))

    def create(self, key: str, data: bytes) -> bool:
        """Put `data` at `key` unless something is there, for keeps."""
        path = self._path(key)
        with _trouble(path):
            return durable.create(path, data)

    def size(self, key: str) -> int | None:
        """Return the bytes of what stands at `key`."""
        path = self._path(key)
        with _trouble(path):
            try:
                return path.stat(follow_symlinks=False).st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return a part of what stands at `key`, as `Store.read_range`."""
        path = self._path(key)
        with _trouble(path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                return None
            try:
                return os.pread(descriptor, length, start)
            finally:
                os.close(descriptor)

    def create_from(self, key: str, chunks: Iterable[bytes]) -> bool:
        """Put what `chunks` yield at `key` unless something is there, for keeps."""
        path = self._path(key)
        with _trouble(path):
            return durable.create_from(path, chunks)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Put `data` at `key` if it still has `version`, for keeps; writers wait for one another."""
        path = self._path(key)
        with _trouble(path), self._locked():
            if self.version(key) != version:
                return False
            durable.replace(path, data)
            return True

    def list(self, prefix: str, *, deep: bool = True) -> Iterator[str]:
        """Yield keys, as `Store.list`; links and temporary files are passed over."""
        directory, _, _ = prefix.rpartition("/")
        if directory:
            require_key(directory)
        with _trouble(self.root / directory):
            keys = sorted(key for key in self._walk(directory, deep=deep) if key.startswith(prefix))
        yield from keys

    def delete(self, key: str) -> None:
        """Remove what stands at `key`, for keeps."""
        path = self._path(key)
        with _trouble(path), self._locked():
            durable.remove(path)

    def sweep(self, prefix: str) -> None:
        """Remove temporary files that nobody is at work on, as `Store.sweep`."""
        with suppress(RefusedError):  # a link that leads out of the store: what is read and written through it says so
            durable.sweep(self._path(prefix.rstrip("/")))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Fsync each directory in which the block puts something once, as `Store.together`."""
        with _trouble(self.root), durable.together():
            yield

    def _path(self, key: str) -> Path:
        path = self.root.resolve() / require_key(key)
        if os.path.realpath(path) != str(path):
            message = f"{path}: a symbolic link on the way; a store must not lead out of its directory"
            raise RefusedError(message)
        return path

    @staticmethod
    def _read(path: Path, stream: BinaryIO) -> bytes:
        size = os.fstat(stream.fileno()).st_size
        if size > OBJECT_LIMIT:
            message = f"{path}: {size} bytes, more than {OBJECT_LIMIT}"
            raise MalformedError(message)
        return stream.read()

    def _walk(self, directory: str, *, deep: bool) -> Iterator[str]:
        try:
            entries = os.scandir(self.root / directory)
        except (FileNotFoundError, NotADirectoryError):
            return
        with entries:
            for entry in entries:
                if not PART.fullmatch(entry.name):
                    continue
                key = f"{directory}/{entry.name}" if directory else entry.name
                if entry.is_file(follow_symlinks=False):
                    yield key
                elif entry.is_dir(follow_symlinks=False):
                    yield from self._walk(key, deep=True) if deep else (f"{key}/",)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        durable.make_directory(self.root)
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _trouble(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{path}: {error.strerror or error}; see to the disk and its permissions, then it goes on by itself"
        raise RetryError(message) from error


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


def open_store(url: str) -> Store:
    """Return the store at `url`: a directory, or a `file:` URL of one; it is made at the first write.

    Raises:
        InputError: another kind of store.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return LocalStore(Path(unquote(parts.path)))
    if "://" in url or not url:
        message = f"store {url!r}: only directories and file: URLs are supported so far; S3, GCS and Azure come with a later version"
        raise InputError(message)
    return LocalStore(Path(url))
