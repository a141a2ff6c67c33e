"""What keeps the pipeline from going on, left in the state directory for `ordain status`, which asks no running process.

It is a note and no state: nothing is decided by it, so losing it costs nothing, and one that can't be written holds up nobody.
"""

import contextlib
import os
from datetime import datetime
from pathlib import Path

from agent.protocol import codec
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct
from reconciler.publication.times import stamp

FILE = "problem.json"


class Problem(Struct):
    """What is wrong, in one line, and since when."""

    why: str
    since: str


def keep(state: Path, why: str, now: datetime) -> None:
    """Leave what is wrong now; nothing, if `why` is empty."""
    path = state / FILE
    with contextlib.suppress(OSError):  # what is wrong may be the disk
        if not why:
            path.unlink(missing_ok=True)
            return
        beside = path.with_name(f".{FILE}.{os.getpid()}")
        beside.write_bytes(codec.canonical(Problem(why=why, since=stamp(now))))
        beside.replace(path)


def read(state: Path) -> Problem | None:
    """Return what was wrong last; None if nothing is, or what was left can't be read."""
    try:
        return codec.decode((state / FILE).read_bytes(), Problem, what=FILE)
    except (OSError, MalformedError):
        return None
