"""A store in a directory. It is our own, since obstore's local store never fsyncs."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from agent.protocol import codec, durable
from agent.protocol.errors import MalformedError, RefusedError, RetryError
from reconciler.publication.store.interface import OBJECT_LIMIT, PART, Entry, require_key


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
        with _trouble(path), self._locked(key):
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

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield what stands, as `Store.entries`."""
        for key in self.list(prefix):
            path = self._path(key)
            with _trouble(path), suppress(FileNotFoundError):
                found = path.stat(follow_symlinks=False)
                yield Entry(key=key, size=found.st_size, written=datetime.fromtimestamp(found.st_mtime, UTC))

    def delete(self, key: str) -> None:
        """Remove what stands at `key`, for keeps."""
        path = self._path(key)
        with _trouble(path), self._locked(key):
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
        """Return where a key stands; each part is looked at by itself, since resolving whole paths was a fifth of what publishing took."""
        place = os.fspath(self.root)
        for part in require_key(key).split("/"):
            place = f"{place}/{part}"
            if os.path.islink(place):  # noqa: PTH114 - as above: a Path for each part
                message = f"{place}: a symbolic link on the way; a store must not lead out of its directory"
                raise RefusedError(message)
        return Path(place)

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
    def _locked(self, key: str) -> Iterator[None]:
        """Have writers of one prefix wait for one another: each zone's is a user's own, who can't open another's lock."""
        directory = self.root / key.partition("/")[0] if "/" in key else self.root
        durable.make_directory(directory)
        descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
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
