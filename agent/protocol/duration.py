"""Lengths of time as manifests write them: a whole number and `s`, `m`, `h` or `d`."""

import re

from agent.protocol.errors import MalformedError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LIMIT = 10 * 365 * UNITS["d"]
"""Ten years: nothing here waits longer, and sums with it stay far from any calendar's end."""

_DURATION = re.compile(r"(0|[1-9][0-9]{0,8})([smhd])", re.ASCII)


def seconds(text: str) -> int:
    """Return the seconds of a duration: `10m` is 600.

    Raises:
        MalformedError: not a duration, or more than ten years.
    """
    found = _DURATION.fullmatch(text)
    length = int(found[1]) * UNITS[found[2]] if found else -1
    if not 0 <= length <= LIMIT:
        message = f"{text[:40]!r} is not a duration: write a whole number and s, m, h or d, at most 3650d"
        raise MalformedError(message)
    return length
