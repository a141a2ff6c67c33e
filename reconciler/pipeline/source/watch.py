"""News of a repository: at once for one on this machine, by polling for any other."""

import logging
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from agent.protocol.errors import RetryError
from reconciler.pipeline.source.location import Location, git_directories

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

_log = logging.getLogger(__name__)

_MOVES = frozenset({"created", "modified", "moved", "deleted"})
"""Events that can be news. Opening and closing is what our own fetch does: to wake for that would never end."""


class Watcher:
    """Calls `wake` (from a thread of its own) whenever a branch or HEAD of a local repository moves.

    One commit makes several calls: `wake` should set an event and return.
    """

    def __init__(self, location: Location, wake: Callable[[], None]) -> None:
        self._location, self._wake = location, wake
        self._observer: BaseObserver | None = None

    def start(self) -> bool:
        """Begin to watch; return False where that can't be done (a remote one, no inotify left), so that polling must do."""
        if self._location.path is None:
            return False
        observer = Observer()
        try:
            own, shared = git_directories(self._location.path)
            handler = _Handler(own=own, shared=shared, wake=self._wake)
            for directory in {own, shared}:
                observer.schedule(handler, str(directory), recursive=False)
            observer.schedule(handler, str(shared / "refs" / "heads"), recursive=True)
            observer.start()
        except (OSError, RetryError) as error:
            _log.warning("%s can't be watched and is polled instead: %s", self._location, error)
            return False
        self._observer = observer
        return True

    def stop(self) -> None:
        """End the thread, if there is one."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None


class _Handler(FileSystemEventHandler):
    def __init__(self, *, own: Path, shared: Path, wake: Callable[[], None]) -> None:
        self._files = {str(own / "HEAD"), str(shared / "HEAD"), str(shared / "packed-refs")}
        self._branches = str(shared / "refs" / "heads") + "/"
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake for a ref that has its new name: git writes `<ref>.lock` first and renames it."""
        path = str(event.dest_path or event.src_path)
        if event.event_type in _MOVES and not event.is_directory and self._is_news(path):
            self._wake()

    def _is_news(self, path: str) -> bool:
        return path in self._files or (path.startswith(self._branches) and not path.endswith(".lock"))


def next_poll(interval: float, jitter: float, random: Random) -> float:
    """Return the seconds until the next poll: `interval` give or take the share `jitter`, so that many reconcilers don't ask at once."""
    return interval * (1 + jitter * (2 * random.random() - 1))
