"""How much memory a process holds, and waiting for its end within a bound.

A limit of the kernel does not serve here. An OPA that holds 40 MB has 1.9 GB of addresses (measured), so RLIMIT_AS either keeps it
from starting or bounds nothing; RLIMIT_RSS is ignored, and a cgroup is seldom ours to make. So what is resident is looked at often.
Elsewhere than on Linux nothing says so cheaply: there only Go's collector works against the bound, and a rule is stopped by its time.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

LOOK_EVERY = 0.02
"""Seconds between looks, each about 15 us: at 4 GB/s, as fast as memory can be filled, it is over the bound by 80 MB."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


def held(process: int) -> int:
    """Return the bytes that a process holds in memory; 0 where that can't be known, or it ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def wait_within(child: subprocess.Popen[bytes], bound: int) -> bool:
    """Wait until a child ends, or holds more than `bound` bytes; return whether it still runs, and holds more."""
    if sys.platform != "linux":
        child.wait()
        return False
    while child.poll() is None:
        if held(child.pid) > bound:
            return True
        time.sleep(LOOK_EVERY)
    return False
