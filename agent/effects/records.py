"""What was brought about for each fleet, on disk: up to which transaction and in which boot, and what actions were run for."""

import contextlib
from pathlib import Path

from agent.disk import Disk, read_optional
from agent.protocol import codec, durable
from agent.protocol.state import Struct

BOOT_ID = "proc/sys/kernel/random/boot_id"


class Done(Struct):
    """All effects of `transaction` were brought about in `boot`; `actions` is name → digest of what it was run for last."""

    transaction: str = ""
    boot: str = ""
    actions: dict[str, str] = {}


def boot_id(root: Path) -> str:
    """Return what tells this boot of the machine below `root` from any other; of this machine where that has none."""
    for place in (root, Path("/")):
        with contextlib.suppress(OSError):
            return (place / BOOT_ID).read_text().strip()
    return ""


def read_done(disk: Disk, fleet: str) -> Done:
    """Return what was brought about for a fleet; raise `MalformedError` if the record is damaged."""
    return read_optional(_path(disk, fleet), Done) or Done()


def write_done(disk: Disk, fleet: str, done: Done) -> None:
    """Keep it, unless it is what is there already."""
    if read_done(disk, fleet) != done:
        durable.replace(_path(disk, fleet), codec.canonical(done), mode=0o600)


def _path(disk: Disk, fleet: str) -> Path:
    return disk.fleet(fleet) / "effects.json"
