"""Becomes OPA, after asking the kernel to end it together with whoever started it.

Run as a program of its own: `launch.py PARENT PROGRAM ARGUMENT…`. The request survives `exec`, and holds even when the
parent is killed by SIGKILL, where no handler runs (prctl(2), PR_SET_PDEATHSIG). It is tied to the parent's thread,
so that thread must live as long as OPA is to. Elsewhere than on Linux only an orderly end takes OPA along.
"""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(parent: int, program: str, arguments: list[str]) -> None:
    """Replace this process by `program`; return only if the parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        with contextlib.suppress(OSError):  # when memory runs out, OPA goes first: it can be started again
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() == parent:  # else it died before the kernel was asked
        os.execv(program, [program, *arguments])  # noqa: S606 - no shell, on purpose


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
