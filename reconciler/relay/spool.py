"""Reports that wait to be carried, on disk: what is acknowledged to a host survives a power cut here.

    <state>/spool/<number>.batches    signed batches as hosts sent them, one a line; numbers rise

What comes within a fraction of a second is one file, by one fsync. Files go when the uplink keeps all that is in them. Who reads them
again after a crash sends some twice, which the uplink keeps once.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.protocol import durable
from reconciler.control.intake.decoding import CARRIED_LIMIT

LIMIT = 256 * 1024 * 1024
"""Bytes that wait at most: a hundred thousand reports, a day of seventy hosts at one a minute."""
SUFFIX = ".batches"
_NAME = re.compile(rf"[0-9]{{16}}\{SUFFIX}")


class Spool:
    """What waits in one directory. `count` is of files, `size` in bytes; one process writes."""

    def __init__(self, directory: Path, *, limit: int = LIMIT) -> None:
        """Look at what a process before left."""
        self.limit = limit
        self._directory = directory
        durable.make_directory(directory, mode=0o700)
        durable.sweep(directory)
        self._sizes = {path.name: path.stat().st_size for path in waiting(directory)}
        self._lock = threading.Lock()
        """Of `_sizes`: files come and go in two threads, and are counted in a third."""
        self._number = max((int(name.removesuffix(SUFFIX)) for name in self._sizes), default=0)

    @property
    def count(self) -> int:
        """How many files wait."""
        return len(self._sizes)

    @property
    def size(self) -> int:
        """How many bytes wait."""
        with self._lock:
            return sum(self._sizes.values())

    @property
    def fullness(self) -> float:
        """Which share of the room is used; from 1 on nothing more is taken."""
        return self.size / self.limit

    def keep(self, batches: Sequence[bytes]) -> None:
        """Keep batches for good, in this order; for a thread."""
        self._number += 1
        path = self._directory / f"{self._number:016d}{SUFFIX}"
        data = b"".join(batch + b"\n" for batch in batches)
        durable.create(path, data, mode=0o600)
        with self._lock:
            self._sizes[path.name] = len(data)

    def oldest(self) -> Path | None:
        """Return the file that waits longest, None where nothing does; one that an operator carried away is forgotten."""
        with self._lock:
            while self._sizes:
                path = self._directory / min(self._sizes)
                if path.exists():
                    return path
                del self._sizes[path.name]
        return None

    def remove(self, path: Path) -> None:
        """Forget a file whose batches are kept elsewhere; for a thread."""
        durable.remove(path)
        with self._lock:
            self._sizes.pop(path.name, None)


def waiting(directory: Path) -> list[Path]:
    """Return the files of a spool, or of a stick, oldest first."""
    return sorted(path for path in directory.glob(f"*{SUFFIX}") if _NAME.fullmatch(path.name) and path.is_file())


def batches(path: Path) -> Iterator[bytes]:
    """Yield the batches of a file, each no longer than one may be; none where an operator removed it meanwhile."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        while line := stream.readline(CARRIED_LIMIT + 1):
            yield line.rstrip(b"\n")
