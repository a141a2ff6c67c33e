"""Files that only their writer can have written: each is sealed with a key that nobody else may read.

A cache decides verdicts, so a file that was cut short, changed, renamed or made by someone else must not be believed. The seal
(HMAC-SHA256 over name and content) is checked before a byte is parsed. A file that fails is dropped and counted.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec

MAGIC = b"ordain-cache-1\n"
KEY_FILE = "key"
KEY_BYTES = 32
FILE_LIMIT = 128 * 1024 * 1024
"""Bytes of one file: 100,000 manifests of 1 kB; a larger one is not read, and not written."""
TOTAL_LIMIT = 256 * 1024 * 1024
"""Bytes of all files: those that were not used for longest go first."""
LIFE = 30 * 86400
"""Seconds after which a file that nobody used goes: each upgrade of ordain leaves some behind."""
SUFFIX = ".sealed"
_Mapping = TypeVar("_Mapping", bound=dict[str, Any])


class Sealed:
    """A directory of sealed files. Where it can't be used (read-only, another's), nothing is kept and nothing fails."""

    def __init__(self, directory: Path) -> None:
        """Use `directory`; it and its key are made when something is first written."""
        self.directory = directory
        self.dropped = 0
        self._key: bytes | None = None

    def read(self, name: str) -> bytes | None:
        """Return what was written under a name, None where there is nothing that can be believed."""
        path = self.directory / (name + SUFFIX)
        try:
            data = _read(path)
        except OSError:
            return None
        key = self._existing_key()
        head = len(MAGIC) + hashlib.sha256().digest_size
        if data is not None and key is not None and data.startswith(MAGIC):
            content = memoryview(data)[head:]
            if hmac.compare_digest(_seal(key, name, content), data[len(MAGIC) : head]):
                return bytes(content)
        self._drop(path)
        return None

    def write(self, name: str, content: bytes) -> None:
        """Keep something under a name, in place of what was there; a crash leaves the one or the other, or nothing."""
        if len(content) > FILE_LIMIT:
            return
        with contextlib.suppress(OSError):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = self._existing_key() or self._new_key()
            with tempfile.NamedTemporaryFile(dir=self.directory, prefix=".", delete=False) as file:
                try:
                    file.write(MAGIC + _seal(key, name, memoryview(content)))
                    file.write(content)
                    file.close()
                    Path(file.name).replace(self.directory / (name + SUFFIX))
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            self._prune()

    def decoded(self, name: str, kind: type[_Mapping]) -> _Mapping:
        """Return the mapping that was written under a name in MessagePack, an empty one where there is none of that kind."""
        content = self.read(name)
        try:
            return kind() if content is None else msgspec.msgpack.decode(content, type=kind)
        except msgspec.DecodeError:  # another version of ordain wrote it
            self._drop(self.directory / (name + SUFFIX))
            return kind()

    def _drop(self, path: Path) -> None:
        self.dropped += 1
        with contextlib.suppress(OSError):
            path.unlink()

    def _existing_key(self) -> bytes | None:
        """Return the key, None where there is none or others than its owner may read or replace it."""
        if self._key is None:
            path = self.directory / KEY_FILE
            with contextlib.suppress(OSError):
                status = path.lstat()
                private = stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077 and status.st_uid == os.getuid()
                closed = not self.directory.stat().st_mode & 0o022
                key = path.read_bytes() if private and closed else b""
                self._key = key if len(key) == KEY_BYTES else None
        return self._key

    def _new_key(self) -> bytes:
        """Make a key; of two processes that make one at once, both use the first. Raise `OSError` where none can be kept."""
        path = self.directory / KEY_FILE
        path.unlink(missing_ok=True)
        self.directory.chmod(0o700)
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor, which Path can't open
                file.write(secrets.token_bytes(KEY_BYTES))
        key = self._existing_key()
        if key is None:
            raise PermissionError(path)
        return key

    def _prune(self) -> None:
        files = [(path, path.stat()) for path in self.directory.glob("*" + SUFFIX)]
        total = sum(status.st_size for _, status in files)
        for path, status in sorted(files, key=lambda one: one[1].st_mtime_ns):
            if total <= TOTAL_LIMIT and status.st_mtime > time.time() - LIFE:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size


def _read(path: Path) -> bytes | None:
    """Return the bytes of a file, None where it is no plain file or too large; raise `OSError` where there is none."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor, which Path can't open
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > FILE_LIMIT + len(MAGIC) + 64:
            return None
        os.utime(file.fileno())  # used just now: pruned last
        return file.read()


def _seal(key: bytes, name: str, content: memoryview) -> bytes:
    seal = hmac.new(key, name.encode() + b"\0", hashlib.sha256)
    seal.update(content)
    return seal.digest()
