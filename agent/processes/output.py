"""What processes print: straight to a file each, so that nothing is lost and nothing blocks while the agent is away.

A file that grew too large is copied and then cut (`copytruncate`), since the process holds it open. What is printed between
the last look at its end and the cut is lost: some microseconds' worth, since the copy goes on until it has caught up.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from agent.protocol import durable

TAIL = 4096
"""Bytes at the end of the output that go into messages."""
CHUNK = 256 * 1024
CATCH_UP = 64
"""Passes after which a copy stops waiting for a process that prints faster than it is copied."""
GONE_KEPT = 20
"""Processes that are gone whose output is kept: enough to see why the last ones went."""
MODE = 0o600
"""Output may hold what others should not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """How much output is kept of each process: the file and `count` older ones.

    A file is looked at `every` so many seconds, so it holds `size` bytes and what is printed until the next look.
    """

    size: int = 10 * 1024 * 1024
    count: int = 3
    every: float = 5.0
    """Seldom enough to cost nothing; a process that prints 100 MB a second makes half a gigabyte meanwhile."""


class Output:
    """The files of output in one directory."""

    def __init__(self, directory: Path, rotation: Rotation) -> None:
        self._directory = directory
        self._rotation = rotation

    def place(self, name: str) -> Path:
        """Return the file that a process writes to now."""
        return self._directory / f"{name}.log"

    def open(self, name: str) -> int:
        """Return a descriptor for a process to append to; the process can't reach the directory itself."""
        durable.make_directory(self._directory, mode=0o700)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.place(name), flags, MODE)

    def tail(self, name: str) -> str:
        """Return the last whole lines of the output, at most `TAIL` bytes."""
        try:
            with self.place(name).open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - TAIL))
                data = stream.read(TAIL)
        except FileNotFoundError:
            return ""
        whole = data if size <= TAIL else data.partition(b"\n")[2] or data
        return whole.decode(errors="replace").rstrip("\n")

    def rotate(self, name: str) -> bool:
        """Copy and cut the output if it is too large; return whether it was. Raises `OSError`, with the output as it was."""
        live = self.place(name)
        try:
            if live.stat().st_size <= self._rotation.size:
                return False
        except FileNotFoundError:
            return False
        for number in range(self._rotation.count, 1, -1):
            older = self._older(name, number - 1)
            if older.exists():
                older.rename(self._older(name, number))
        self._move(live, self._older(name, 1))
        return True

    def prune(self, kept: Collection[str]) -> None:
        """Remove output of processes that are gone, all but that of those which printed last."""
        files: dict[str, list[Path]] = {}
        for path in self._directory.glob("*.log*"):
            files.setdefault(path.name.partition(".log")[0], []).append(path)
        gone = sorted(set(files) - set(kept), key=lambda name: max(path.stat().st_mtime for path in files[name]), reverse=True)
        for path in (path for name in gone[GONE_KEPT:] for path in files[name]):
            path.unlink(missing_ok=True)

    def _older(self, name: str, number: int) -> Path:
        return self._directory / f"{name}.log.{number}"

    def _move(self, live: Path, older: Path) -> None:
        beside = older.with_name(f".{older.name}.part")
        source = os.open(live, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(source).st_size
            os.lseek(source, max(0, size - self._rotation.size * self._rotation.count), os.SEEK_SET)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(beside, flags, MODE), "wb") as stream:
                for _ in range(CATCH_UP + size // CHUNK):
                    data = os.read(source, CHUNK)
                    if not data:
                        break
                    stream.write(data)
            beside.rename(older)
            os.ftruncate(source, 0)
        finally:
            os.close(source)
            beside.unlink(missing_ok=True)
