"""The thread that notices ends: it sleeps until a process ends, a wait is over, or somebody wakes it."""

import os
import select
import threading
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass

from agent.logs import Log

AFTER_FAULT = 5.0
"""Seconds until it goes on after a fault of ours, which may come at once again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What to wait for: the ends of processes, by their descriptors, for `seconds` at most (None for ever)."""

    descriptors: Collection[int]
    seconds: float | None


class Watch:
    """Calls `attend` whenever there may be something to do, one call after the other; `attend` says what to wait for next."""

    def __init__(self, attend: Callable[[], Next], log: Log) -> None:
        self._attend = attend
        self._log = log
        self._is_closing = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="processes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Have it look now."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """End the thread, after what it is at."""
        self._is_closing = True
        self.wake()
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._is_closing:
            self._wait(self._next())

    def _next(self) -> Next:
        try:
            return self._attend()
        except Exception as error:  # noqa: BLE001 - not even a fault of ours may end the watching
            self._log.step("fault", why=f"{type(error).__name__}: {error}", traceback="".join(traceback.format_exception(error)))
            return Next(descriptors=(), seconds=AFTER_FAULT)

    def _wait(self, until: Next) -> None:
        poll = select.poll()
        for descriptor in (self._wake, *until.descriptors):
            poll.register(descriptor, select.POLLIN)
        ready = poll.poll(None if until.seconds is None else max(0.0, until.seconds) * 1000)
        if any(descriptor == self._wake for descriptor, _ in ready):
            os.eventfd_read(self._wake)
