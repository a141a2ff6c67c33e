"""When to try again, and when to give up.

What is repeated is a whole step (read, compare, write), never a bare write: an answer that was lost may have been a yes.
A forge that says when it wants to be asked again is obeyed; else each wait is twice the one before, and differs from one
runner to the next, so that those who were turned away together don't come back together.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from typing import TypeVar

from agent.protocol.errors import RetryError

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
"""Seconds between two tries where the forge names no time."""
SPREAD = 1.0
"""Seconds, at most, that are added to a time that the forge names."""
PATIENCE = 120.0
"""Seconds in all: short beside a CI job, long enough for a forge that is deployed anew, or for GitHub's minute after a secondary limit."""

T = TypeVar("T")


class WaitError(RetryError):
    """It may do better later: in `seconds`, or None where the forge named no time."""

    def __init__(self, message: str, *, seconds: float | None = None) -> None:
        """Say what did not work."""
        super().__init__(message)
        self.seconds = seconds


@dataclass(slots=True, kw_only=True)
class Patience:
    """How long all that is done for one report may take; begins to count when it is made."""

    seconds: float = PATIENCE
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = SystemRandom().random
    told: Callable[[str], None] = lambda _: None
    """Is told of each wait."""
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        """Start to count."""
        self._end = self.clock() + self.seconds

    @property
    def left(self) -> float:
        """Seconds until all of it is given up."""
        return self._end - self.clock()

    def repeat(self, step: Callable[[], T]) -> T:
        """Return what a step returns, repeated from its beginning for as long as it asks for.

        Raises:
            RetryError: it would take longer than it may; the message names the time from which on it may work.
        """
        tries = 0
        while True:
            try:
                return step()
            except WaitError as error:
                wait = self._wait(error, tries)
                if wait > self.left:
                    raise _given_up(error, wait, self.seconds) from error
                self.told(f"{error}; waiting {wait:.0f} s")
                self.sleep(wait)
                tries += 1

    def _wait(self, error: WaitError, tries: int) -> float:
        if error.seconds is not None:
            return max(0.0, error.seconds) + SPREAD * self.random()
        return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries, 10)) * (0.5 + self.random() / 2)


def _given_up(error: WaitError, wait: float, seconds: float) -> RetryError:
    when = (datetime.now(UTC) + timedelta(seconds=wait)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return RetryError(f"{error}; given up, since all of it may take {seconds:.0f} s (--patience): run it again after {when}")
