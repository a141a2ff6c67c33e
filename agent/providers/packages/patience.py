"""What a package manager must offer, and what both have in common: waiting for a lock, and keeping a repository's files."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.commands import Ended
from agent.host import Host
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import Repository
from agent.providers import texts
from agent.providers.packages.compare import Changes, Installed

LOCK_WAIT = 120.0
"""Seconds to wait for another package manager: an unattended upgrade takes a minute as a rule. Then the release is tried later."""
LOCK_PAUSE = 1.0
"""Seconds between two tries."""
INSTALL_SECONDS = 3600.0
"""For downloads over a slow line and maintainers' scripts; whatever takes longer hangs."""
UPDATE_SECONDS = 600.0
"""For the lists of all repositories."""

REFRESH_SECONDS = 300.0
"""Between two fetches of all lists to look for a version: mirrors change a few times a day."""


class Manager(Protocol):
    """A package manager on one host."""

    @property
    def name(self) -> Literal["apt", "dnf"]:
        """What repositories call it."""
        ...

    def installed(self) -> dict[str, Installed]:
        """Return what is installed, by name."""
        ...

    def known(self, names: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return which versions of these packages repositories have, in all spellings; without a word on those that none has."""
        ...

    def refresh(self) -> None:
        """Fetch the repositories' lists anew."""
        ...

    def trouble(self) -> str:
        """Return what an interrupted run left half done in the database itself, empty where nothing."""
        ...

    def repair(self) -> None:
        """Finish what an interrupted run left."""
        ...

    def require_holds(self) -> None:
        """Raise `RefusedError` if this host can't hold packages."""
        ...

    def rehearse(self, changes: Changes) -> None:
        """Try what would happen; raise `RefusedError` if it can't be done, or would remove what nobody asked to be removed."""
        ...

    def change(self, changes: Changes) -> None:
        """Install, move and remove packages, and set and let go holds; raises as `rehearse`, and `RetryError`."""
        ...

    def repository_files(self, repository: Repository) -> dict[str, bytes]:
        """Return the files that make a repository known: path → content."""
        ...

    def try_repository(self, repository: Repository) -> None:
        """Fetch the lists of one repository before it is made known; raise `RetryError` or `RefusedError` if that fails."""
        ...

    def repository_changed(self) -> None:
        """Take note of what `try_repository` fetched, once the repository is known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a lock is waited for, and who says that the agent ends."""

    stopping: Callable[[], bool]
    seconds: float = LOCK_WAIT
    pause: float = LOCK_PAUSE

    def run(self, once: Callable[[], Ended], is_locked: Callable[[Ended], bool]) -> Ended:
        """Run `once` until no lock is in its way.

        Raises:
            RetryError: somebody holds the lock for longer than is waited, with the words that say who; or the agent ends.
        """
        deadline = time.monotonic() + self.seconds
        while True:
            ended = once()
            if not is_locked(ended):
                return ended
            if self.stopping() or time.monotonic() >= deadline:
                message = f"packages are being changed by somebody else for more than {self.seconds:.0f} s; {ended.failure}"
                raise RetryError(message)
            time.sleep(self.pause)


@dataclass(slots=True)
class Remembered:
    """What a package manager said was installed, for as long as its database stays as it was: rpm takes a second to say it.

    It also knows when lists were fetched last: a release whose version is gone is looked at with each poll.
    """

    clock: Callable[[], float] = time.monotonic
    _refreshed: float = -math.inf
    _fingerprints: tuple[tuple[int, ...], ...] = ()
    _installed: dict[str, Installed] = field(default_factory=dict)

    def installed(
        self, host: Host, database: Sequence[str], ask: Callable[[], dict[str, Installed]], *, beside: Sequence[str] = ()
    ) -> dict[str, Installed]:
        """Return what `ask` said last, or says now if a file of its `database`, or `beside` it, changed since.

        Where none of the database's files is there, it lies elsewhere, and is asked each time.
        """
        known = tuple(host.observe(path).fingerprint for path in database)
        fingerprints = (*known, *(host.observe(path).fingerprint for path in beside))
        if not any(known) or fingerprints != self._fingerprints:
            self._installed = ask()
            self._fingerprints = fingerprints
        return self._installed

    def is_time_to_refresh(self) -> bool:
        """Return whether lists may be fetched again, and take note that they are."""
        now = self.clock()
        if now - self._refreshed < REFRESH_SECONDS:
            return False
        self._refreshed = now
        return True


def require_empty(removed: Sequence[str], asked: Sequence[str], *, why: str = "remove") -> None:
    """Raise `RefusedError` if `removed` has names that nobody asked for."""
    others = sorted(set(removed) - set(asked))
    if others:
        message = f"packages: this would {why} {', '.join(others)} too, which the release does not ask for: ask for that too, or for less"
        raise RefusedError(message)


def differing(files: Mapping[str, bytes], host: Host) -> list[str]:
    """Return how what stands at these paths differs from what `files` say, a sentence for each that does."""
    there = {path: texts.read(host, path)[0] for path in files}
    return [
        f"{path} {'is missing' if there[path] is None else 'has other lines'}" for path, content in files.items() if there[path] != content
    ]
