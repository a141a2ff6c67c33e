"""Manifests that nobody has read before, read by several processes at once: in Python, one process uses one processor.

Processes are forked, so they have what is to be read in memory, and nothing is handed to them. What each finds out comes back in
the form in which it is remembered; of a file with a finding, or that can't be read, nothing comes, and whoever needs it reads
it. So what is found, and in which order, is the same as without them, and one that dies costs time and nothing else.
"""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, Self

import msgspec

WORTH_PROCESSES = 1_000
"""Files from which on it is done: to begin takes as long as reading a hundred."""
CHUNK = 100
"""Files that come back at once. A process waits with the next ones until those are taken, so that little is held twice."""
PROCESSES_LIMIT = 8
"""Processes: with more, whoever takes what they read is what is waited for."""
_LENGTH_BYTES = 8

Entries = Mapping[str, msgspec.Raw]
"""What is remembered of files, by key."""


class Ahead:
    """Processes that read `paths`, and an iterator over what they found, in order of paths. Use as a context manager."""

    def __init__(self, paths: Sequence[str], read: Callable[[str], tuple[str, bytes] | None], *, processes: int | None = None) -> None:
        """Begin to read, where that is worth it; `read` returns key and entry of a file, None where there is nothing to keep of it.

        `processes` is how many there are to be, None for as many as are worth it; of fewer than two there is none.
        """
        self._chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
        self._read = read
        self._pipes: list[BinaryIO] = []
        self._children: list[int] = []
        wanted = _worth(len(paths)) if processes is None else processes
        for number in range(wanted if wanted > 1 else 0):
            self._begin(number, wanted)

    @property
    def children(self) -> tuple[int, ...]:
        """The ids of the processes that there are."""
        return tuple(self._children)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what still reads."""
        for pipe in self._pipes:
            pipe.close()
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self._pipes, self._children = [], []

    def __iter__(self) -> Iterator[Entries]:
        """Yield what was found, chunk by chunk; it ends early where a process did."""
        for number in range(len(self._chunks) if self._pipes else 0):
            entries = _received(self._pipes[number % len(self._pipes)])
            if entries is None:
                return
            yield entries

    def _begin(self, number: int, wanted: int) -> None:
        receiving, sending = os.pipe()
        child = os.fork()
        if child:
            os.close(sending)
            self._children.append(child)
            self._pipes.append(os.fdopen(receiving, "rb"))
            return
        try:  # no more than this is done in the child: it must not run what the parent would do at its end
            gc.disable()
            os.close(receiving)
            self._send(number, wanted, sending)
        finally:
            os._exit(0)

    def _send(self, number: int, wanted: int, descriptor: int) -> None:
        with os.fdopen(descriptor, "wb") as pipe:
            for chunk in self._chunks[number::wanted]:
                found = (self._read(path) for path in chunk)
                entries = msgspec.msgpack.encode({key: msgspec.Raw(entry) for key, entry in filter(None, found)})
                pipe.write(len(entries).to_bytes(_LENGTH_BYTES) + entries)
                pipe.flush()


def _received(pipe: BinaryIO) -> Entries | None:
    """Return the next chunk of a process, None where it ended before."""
    length = pipe.read(_LENGTH_BYTES)
    content = pipe.read(int.from_bytes(length)) if len(length) == _LENGTH_BYTES else b""
    try:
        return msgspec.msgpack.decode(content, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:  # cut short
        return None


def _worth(files: int) -> int:
    """Return how many processes are worth it: as many as there are processors for us, none where forking is not to be trusted."""
    if files < WORTH_PROCESSES or sys.platform != "linux":
        return 0
    return min(PROCESSES_LIMIT, len(os.sched_getaffinity(0)))
