"""Named places at which a test may have a process die, as `kill -9` would.

Crash safety is claimed at these places, so they are named where they stand, between durable writes.
Outside tests `ORDAIN_FAULT` is not set and a place costs one comparison.
"""

import os
import signal

_PLACE, _, _PASSES = os.environ.get("ORDAIN_FAULT", "").partition("@")
_left = int(_PASSES or "1")


def reached(place: str) -> None:
    """Die here if `ORDAIN_FAULT` is `<place>` or `<place>@<n>`, at the n-th pass."""
    global _left  # noqa: PLW0603 - the count of passes is the process's own
    if not _PLACE or place != _PLACE:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
