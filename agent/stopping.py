"""Whether the agent was asked to end, or to look now."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


def _nothing() -> None:
    pass


class Stop:
    """Whether the agent was asked to end; set by SIGTERM and SIGINT, looked at between steps. SIGHUP has it look now."""

    def __init__(self) -> None:
        self.interrupts: Callable[[], None] = _nothing
        """Breaks off what waits elsewhere; called from signal handlers."""
        self._event = threading.Event()
        self._news = threading.Event()

    def __call__(self) -> bool:
        """Return whether to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait this long, or until asked to stop or to look now; return whether it was asked."""
        asked = self._news.wait(seconds)
        self._news.clear()
        return asked or self._event.is_set()

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Ask the agent to end after the step it is at; a signal handler."""
        del number, frame
        self._event.set()
        self._news.set()
        self.interrupts()

    def wake(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Have the agent look now, or again after the look it is at; a signal handler."""
        del number, frame
        self._news.set()
        self.interrupts()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT ask for the end, and SIGHUP for a look."""
        handlers = {signal.SIGTERM: self.ask, signal.SIGINT: self.ask, signal.SIGHUP: self.wake}
        old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
