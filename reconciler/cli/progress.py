"""A line on the terminal that says what a command is at, where it takes longer than people wait without wondering."""

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.status import Status

PATIENCE = 1.0
"""Seconds without a word: most checks are done by then."""


class Progress:
    """Shows the last thing that it was told, on stderr; nothing where that is no terminal. Use as a context manager."""

    def __init__(self) -> None:
        self._text = ""
        self._status: Status | None = None
        self._over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(PATIENCE, self._show)
        self._timer.daemon = True

    def __call__(self, text: str) -> None:
        """Say what is being done now."""
        self._text = text
        if self._status is not None:
            self._status.update(text)

    def __enter__(self) -> Self:
        """Begin to wait."""
        if sys.stderr.isatty():
            self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the line away."""
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._status is not None:
                self._status.stop()

    def _show(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - most checks are over before it is needed

        with self._lock:
            if not self._over:
                self._status = Console(stderr=True).status(self._text)
                self._status.start()
