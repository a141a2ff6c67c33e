"""News of a repository: at once for one on this machine, by polling for any other."""

from collections.abc import Callable
from random import Random

from reconciler.pipeline.source.location import Location


class Watcher:
    """Calls `wake` (from a thread of its own) whenever a branch or HEAD of a local repository moves."""

    def __init__(self, location: Location, wake: Callable[[], None]) -> None:
        self._location, self._wake = location, wake

    def start(self) -> bool:
        """Begin to watch; return False where that can't be done (a remote one, no inotify left), so that polling must do."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the thread, if there is one."""
        raise NotImplementedError


def next_poll(interval: float, jitter: float, random: Random) -> float:
    """Return the seconds until the next poll: `interval` give or take the share `jitter`, so that many reconcilers don't ask at once."""
    return interval * (1 + jitter * (2 * random.random() - 1))
