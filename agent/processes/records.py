"""What is on disk of each process: written before its program begins, so that no crash of the agent makes an unknown orphan.

A process is known by pid, start time and boot together: a pid alone is used again by strangers.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from agent.disk import read_optional
from agent.protocol import codec, durable
from agent.protocol.errors import MalformedError
from agent.protocol.identity import LABEL
from agent.protocol.state import Process, Struct

BOOT = Path("/proc/sys/kernel/random/boot_id")
_SUFFIX = ".json"


class Record(Struct):
    """One process as it was last started, and how it stands. Moments are milliseconds of the monotonic clock of that boot."""

    boot: str
    digest: str
    standing: Literal["stopped", "running", "waiting", "ended", "looping"]
    process: Process
    """It as it was started, but for what only its start needed: command and environment, which may hold secrets."""
    pid: int | None = None
    began: int | None = None
    """Ticks from boot to its start, as /proc/<pid>/stat has them."""
    stopping: bool = False
    """Whether it was asked to stop: its end is no failure."""
    group: str = ""
    """Its control group, a path of the machine; empty if it has none."""
    since: str = ""
    restarts: int = 0
    starts: list[int] = []
    wait: int = 0
    again: int = 0
    """When it is to be started again."""
    why: str = ""
    notes: list[str] = []


def boot_id() -> str:
    """Return what names this boot of the machine."""
    return BOOT.read_text().strip()


class Records:
    """The records of one agent, a file for each process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, record: Record) -> None:
        """Write a record for keeps; raises `OSError`."""
        durable.make_directory(self._directory, mode=0o700)
        durable.replace(self._place(name), codec.canonical(record), mode=0o600)

    def forget(self, name: str) -> None:
        """Remove a record for keeps."""
        durable.remove(self._place(name))

    def read(self) -> Iterator[tuple[str, Record | None]]:
        """Yield all records by name; None for one that is damaged, of which only the name is known."""
        names = os.listdir(self._directory) if self._directory.is_dir() else []  # noqa: PTH208 - names, and nothing else
        for name in sorted(entry.removesuffix(_SUFFIX) for entry in names if entry.endswith(_SUFFIX)):
            if LABEL.fullmatch(name):
                record = None
                with contextlib.suppress(MalformedError):
                    record = read_optional(self._place(name), Record)
                yield name, record

    def _place(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"
