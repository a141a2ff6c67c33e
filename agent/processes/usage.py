"""What a process uses with all that belongs to it: processor time and memory."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from agent.processes import cgroups
from agent.processes.kin import Alive

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one process used: seconds of processor time, and bytes of memory that are in use now.

    A control group counts what is gone and what is shared once; without one, memory that processes share counts for each, and
    the time of those that ended counts where their parents, still there, waited for them.
    """

    cpu_seconds: float
    rss_bytes: int


def measure(alive: Collection[Alive], group: str) -> Usage:
    """Return what a process uses: all that belongs to it and is `alive`, and its control group, empty if it has none."""
    use = cgroups.use(Path(group)) if group else None
    pages = sum(one.pages for one in alive) * _PAGE
    if use is None:
        return Usage(cpu_seconds=sum(one.ticks for one in alive) / _TICKS, rss_bytes=pages)
    return Usage(cpu_seconds=use.cpu_seconds, rss_bytes=pages if use.memory is None else use.memory)
