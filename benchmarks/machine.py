"""The machine in words that say how far figures can be compared, and nothing that names it."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path


def words() -> dict[str, str | int]:
    """Return cores, processor, memory, operating system, Python and ordain; no path and no host name."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": sys.version.split()[0],
        "ordain": version("ordain"),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or "unknown")


def busy() -> float:
    """Return the load of the last minute: how many others wanted the cores too."""
    return round(os.getloadavg()[0], 1)
