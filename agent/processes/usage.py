"""What processes use: processor time and memory of each with all that belongs to it, from one look at the machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.processes import cgroups, kin
from agent.processes.kin import Alive, Markers, Root

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


def measure(roots: Mapping[str, Root], groups: Mapping[str, Path], markers: Markers) -> dict[str, Usage]:
    """Return what each of `roots` uses, by name; `groups` are the control groups of those that have one."""
    processes = kin.table()
    found = kin.kin(roots, processes, markers.read(processes))
    return {name: _usage(alive, groups.get(name)) for name, alive in found.items()}


def _usage(alive: list[Alive], group: Path | None) -> Usage:
    use = cgroups.use(group) if group is not None else None
    pages = sum(one.pages for one in alive) * _PAGE
    if use is None:
        return Usage(cpu_seconds=sum(one.ticks for one in alive) / _TICKS, rss_bytes=pages)
    return Usage(cpu_seconds=use.cpu_seconds, rss_bytes=pages if use.memory is None else use.memory)
