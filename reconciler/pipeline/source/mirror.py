"""A bare mirror of the one branch that is watched, in the state directory. It can be deleted at any time: the next fetch makes it again."""

from dataclasses import dataclass
from pathlib import Path

import pygit2

from reconciler.pipeline.source.location import Credentials, Location


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """What one fetch may cost."""

    seconds: float = 60.0
    bytes: int = 1024 * 1024 * 1024
    silence: float = 10.0
    """Seconds without a byte from the remote."""


def mirror_path(state: Path) -> Path:
    """Return where the mirror of a state directory lies."""
    return state / "mirror.git"


def open_repository(path: Path) -> pygit2.Repository:
    """Open the repository that holds `path`; raise `InputError` if there is none."""
    raise NotImplementedError


def resolve(repository: pygit2.Repository, revision: str) -> str:
    """Return the full commit sha of a revision; raise `InputError` if it names no commit."""
    raise NotImplementedError


class Mirror:
    """The mirror, and the only thing that talks to the watched repository."""

    def __init__(self, path: Path, url: str, branch: str | None = None, limits: SourceLimits | None = None, credentials: Credentials | None = None) -> None:
        raise NotImplementedError

    @property
    def location(self) -> Location:
        """Which repository is mirrored."""
        raise NotImplementedError

    @property
    def repository(self) -> pygit2.Repository:
        """The mirror itself, for reading."""
        raise NotImplementedError

    def fetch(self) -> str | None:
        """Bring the branch here; return the sha of its head, or None while the repository has no commit.

        A branch that was rewritten is followed: whether that is allowed is decided by `descends`.

        Raises:
            RetryError: network, time or size limits, a missing branch, no access.
        """
        raise NotImplementedError

    def head(self) -> str | None:
        """Return the head as last fetched, without asking the remote."""
        raise NotImplementedError

    def keep_accepted(self, head: str) -> None:
        """Let `refs/ordain/accepted` point to the accepted head."""
        raise NotImplementedError
