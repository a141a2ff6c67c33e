"""When a server that failed is asked again: later and later up to a bound, and never all hosts at the same instant."""

import random
import time
from collections.abc import Callable

from agent.fetching.refusal import NotGrantedError
from agent.protocol.errors import OrdainError

FIRST, LONGEST = 10.0, 40.0
"""Seconds, spread by a half either way after the bound: after an outage ten thousand hosts are back within a minute."""
REFUSED = 300.0
"""Seconds after a refusal that asking again hardly changes: whoever lifts a quarantine should not wait for long."""


class Backoff:
    """For one kind of request."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    def seconds(self) -> float:
        """Return the seconds until it may be asked again, 0 if it may."""
        return max(0.0, self._until - self._clock())

    def failed(self, error: OrdainError) -> None:
        """Note a failure, and heed when the server wants to be asked again."""
        self._failures += 1
        seconds = min(LONGEST, FIRST * 2.0 ** min(self._failures - 1, 10)) * random.uniform(0.5, 1.5)  # noqa: S311 - only spreads load
        if isinstance(error, NotGrantedError):
            seconds = error.wait(seconds if error.overloaded or not error.code else REFUSED)
        self._until = self._clock() + seconds

    def worked(self) -> None:
        """Forget failures."""
        self._failures, self._until = 0, 0.0
