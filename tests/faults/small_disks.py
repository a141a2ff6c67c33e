"""Disks that are really full: a small tmpfs over a directory, and a file that takes what is left of it.

Mounting needs root, or a mount namespace of one's own: `make test-faults` makes one where the system lets users do so.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
BALLAST = "ballast"


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted disk of a few megabytes."""

    directory: Path

    @contextlib.contextmanager
    def full(self, free: int) -> Iterator[None]:
        """Leave `free` pages on the disk for as long as the block lasts."""
        ballast = self.directory / BALLAST
        try:
            with ballast.open("wb", buffering=0) as stream:
                with contextlib.suppress(OSError):
                    while True:
                        stream.write(bytes(PAGE))
                stream.truncate(max(stream.tell() // PAGE - free, 0) * PAGE)
            yield
        finally:
            ballast.unlink()


@contextlib.contextmanager
def mounted(directory: Path, *, megabytes: int = 32) -> Iterator[SmallDisk]:
    """Mount a small disk over `directory`, which is made; raises `CalledProcessError` where that is not allowed."""
    directory.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=True, capture_output=True)
    try:
        yield SmallDisk(directory)
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True, capture_output=True)


def possible() -> Path | None:
    """Return the root of what can be mounted on, None where this process may not mount."""
    try:
        with tempfile.TemporaryDirectory(prefix="mount-") as directory, mounted(Path(directory)):
            return Path("/")
    except (OSError, subprocess.CalledProcessError):
        return None
