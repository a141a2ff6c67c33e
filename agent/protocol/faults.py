"""Named places at which a test may have a process die, as `kill -9` would, or be stopped until somebody has it go on.

Crash safety is claimed at these places, so they are named where they stand: at each step of a loop, and between durable
writes. A module lists its own in `PLACES`. Outside tests neither variable is set and a place costs two comparisons.
"""

import os
import signal
from pathlib import Path

_STOPPED = "stopped:"
_PLACE, _, _PASSES = os.environ.get("ORDAIN_FAULT", "").removeprefix(_STOPPED).partition("@")
_HOW = signal.SIGSTOP if os.environ.get("ORDAIN_FAULT", "").startswith(_STOPPED) else signal.SIGKILL
_TRACE = os.environ.get("ORDAIN_FAULT_TRACE", "")
_left = int(_PASSES or "1")


def reached(place: str) -> None:
    """Die here if `ORDAIN_FAULT` is `<place>` or `<place>@<n>`, at the n-th pass; with `stopped:` before it, stop here instead.

    Where `ORDAIN_FAULT_TRACE` names a file, the place is added to it first.
    """
    global _left  # noqa: PLW0603 - the count of passes is the process's own
    if _TRACE:
        with Path(_TRACE).open("a") as trace:
            trace.write(place + "\n")
    if not _PLACE or place != _PLACE:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), _HOW)
