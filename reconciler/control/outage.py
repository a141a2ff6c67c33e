"""What fails again and again from one cause: said when it begins, once a minute while it lasts, and when it is over."""

import logging
import time
from collections.abc import Callable

SAID_AGAIN = 60.0
"""Seconds between two lines about the same outage: whoever reads the log should find what else happens."""


class Outage:
    """One thing that may fail, `what` in words for people; for one thread, or one task."""

    def __init__(self, log: logging.Logger, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._what, self._clock = log, what, clock
        self._began: float | None = None
        self._said = 0.0

    def failed(self, error: Exception) -> None:
        """Say so, unless it was said within a minute."""
        now = self._clock()
        if self._began is not None and now - self._said < SAID_AGAIN:
            return
        since = "" if self._began is None else f" (for {now - self._began:.0f} s)"
        self._log.warning("%s: %s%s", self._what, " ".join(str(error).split()), since)
        self._began, self._said = now if self._began is None else self._began, now

    def over(self) -> None:
        """Say that it works again, if it failed before."""
        if self._began is not None:
            self._log.warning("over after %.0f s: %s", self._clock() - self._began, self._what)
            self._began = None
