"""What happened between two heads, and in which steps it is judged."""

from collections.abc import Callable
from dataclasses import dataclass

import pygit2

COMMITS_LIMIT = 10_000
"""Commits that one decision lists, the newest; and that one round of `judge_steps` looks at, the oldest."""
FIRST_LIMIT = 100
"""Commits that the first decision lists: it judges all files anyway, and git has the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """A commit: `time` is the committer's (RFC 3339, UTC), `paths` those that differ from the first parent, in order."""

    sha: str
    author: str
    email: str
    time: str
    subject: str
    paths: tuple[str, ...]
    parents: tuple[str, ...]


def commits_between(repository: pygit2.Repository, old: str | None, new: str, *, limit: int = COMMITS_LIMIT) -> list[CommitInfo]:
    """Return the commits of `new` that `old` doesn't have, oldest first; only the newest where there are too many."""
    raise NotImplementedError


def descends(repository: pygit2.Repository, ancestor: str, head: str) -> bool:
    """Return whether `ancestor` is `head` or in its history; False also where the mirror doesn't have it."""
    raise NotImplementedError


def judge_steps(repository: pygit2.Repository, old: str | None, head: str, touches: Callable[[str], bool]) -> list[str]:
    """Return the heads to examine one after the other to get from `old` to `head`.

    Commits on the first-parent chain coalesce to the newest, but never across one that touches the judge (a path for which
    `touches` is true): that one is a step of its own, after all that came before it. The list ends with `head`, unless
    more than COMMITS_LIMIT commits came at once: then the rest comes when asked again from its last step. It is
    `[head]` alone at first (`old` None) and where history was rewritten, and empty where `old` is `head`.
    """
    raise NotImplementedError
