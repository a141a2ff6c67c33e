"""Blob ids of files that have not changed since they were last read, as git's index keeps them.

A file counts as unchanged while its times, size and inode are the same. One that was written at about the time when it was read may
have changed again within the clock's resolution, so it is not kept (git's racy rule): the next check reads it again.
"""

import os
import time

import msgspec

from reconciler.pipeline.remembered.sealed import Sealed

RACY = 2_000_000_000
"""Nanoseconds: the coarsest file system clock that is in use (FAT) ticks every two seconds."""
_Seen = tuple[int, int, int, int, str]
"""mtime_ns, ctime_ns, size, inode, blob id."""


class KnownFiles:
    """The blob ids of one directory's files, from the last check of it to the next."""

    def __init__(self, sealed: Sealed, name: str) -> None:
        """Begin with what is kept under `name`."""
        self._sealed, self._name = sealed, name
        self._since = time.time_ns()
        self._known = sealed.decoded(name, dict[str, _Seen])
        self._seen: dict[str, _Seen] = {}
        self.reused = 0

    def get(self, path: str, status: os.stat_result) -> str | None:
        """Return the blob id of a file with this status, None where it must be read."""
        known = self._known.get(path)
        if known is None or known[:4] != (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino):
            return None
        self.reused += 1
        self._seen[path] = known
        return known[4]

    def put(self, path: str, status: os.stat_result, oid: str) -> None:
        """Keep the blob id of a file that was read after its status was taken."""
        if max(status.st_mtime_ns, status.st_ctime_ns) < self._since - RACY:
            self._seen[path] = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, oid)

    def save(self) -> None:
        """Keep all that was seen in this check, where it differs from what was kept."""
        if self._seen != self._known:
            self._sealed.write(self._name, msgspec.msgpack.encode(self._seen))
