"""What happened between two heads, and in which steps it is judged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import pygit2
from pygit2.enums import SortMode

from agent.protocol.errors import MalformedError
from reconciler.pipeline.source.directories import diff_trees, tree_of

COMMITS_LIMIT = 10_000
"""Commits that one decision lists, the newest; and that one round of `judge_steps` looks at, the oldest."""
FIRST_LIMIT = 100
"""Commits that the first decision lists: it judges all files anyway, and git has the rest."""
TEXT_LIMIT = 200
"""Characters of an author, an address or a subject: more than anyone reads in a record."""


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


def commits_between(
    repository: pygit2.Repository, old: str | None, new: str, *, limit: int = COMMITS_LIMIT, whole: bool = False
) -> list[CommitInfo]:
    """Return the commits of `new` that `old` doesn't have, oldest first; only the newest where there are too many.

    Without `old` few are listed, unless the `whole` history is wanted.

    Raises:
        MalformedError: `new` is no commit of the repository, or one of its objects is missing or damaged.
    """
    if old is None or not _complete(repository, old):
        limit, old = limit if whole else min(limit, FIRST_LIMIT), None
    found = list(islice(_walk(repository, old, new), limit))
    return [commit_info(repository, commit) for commit in reversed(found)]


def descends(repository: pygit2.Repository, ancestor: str, head: str) -> bool:
    """Return whether `ancestor` is `head` or in its history; False also where the mirror doesn't have it.

    An ancestor whose own parents are missing came out of the store after a rewrite: a fetched history has all of its
    objects, so that one is in none.
    """
    if ancestor == head:
        return True
    if not _complete(repository, ancestor):
        return False
    try:
        return bool(repository.descendant_of(head, ancestor))
    except (KeyError, ValueError, pygit2.GitError):
        return False


def judge_steps(repository: pygit2.Repository, old: str | None, head: str, touches: Callable[[str], bool]) -> list[str]:
    """Return the heads to examine one after the other to get from `old` to `head`.

    Commits on the first-parent chain coalesce to the newest, but never across one that touches the judge (a path for which
    `touches` is true): that one is a step of its own, after all that came before it. The list ends with `head`, unless
    more than COMMITS_LIMIT commits came at once: then the rest comes when asked again from its last step. It is
    `[head]` alone at first (`old` None) and where history was rewritten, and empty where `old` is `head`.

    Raises:
        MalformedError: an object is missing or damaged.
    """
    if old == head:
        return []
    if old is None or not descends(repository, old, head):
        return [head]
    steps: list[str] = []
    before, pending = old, ""
    for commit in _chain(repository, old, head)[:COMMITS_LIMIT]:
        changed = diff_trees(repository, tree_of(repository, before), tree_of(repository, commit))
        if any(touches(path) for path in changed.touched):
            steps += [pending, commit] if pending else [commit]
            pending = ""
        else:
            pending = commit
        before = commit
    return [*steps, pending] if pending else steps


def _chain(repository: pygit2.Repository, old: str, head: str) -> list[str]:
    """Return the first parents from `head` back to `old`, oldest first: only those that descend from it.

    Where `old` came in through a merge, the first parents before that merge don't have its changes: to examine
    one of them would take them back.
    """
    chain: list[str] = []
    new = {str(commit.id) for commit in _walk(repository, old, head)}
    commit = repository[head]
    while isinstance(commit, pygit2.Commit) and str(commit.id) in new:
        chain.append(str(commit.id))
        if not commit.parent_ids:
            break
        commit = repository[commit.parent_ids[0]]
    chain.reverse()
    if str(commit.id) == old:
        return chain
    low, high = 0, len(chain) - 1  # descending from `old` never stops along the chain: bisect
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if descends(repository, old, chain[middle]) else (middle + 1, high)
    return chain[low:]


def _walk(repository: pygit2.Repository, old: str | None, new: str) -> Iterator[pygit2.Commit]:
    """Yield the commits of `new` that `old` doesn't have, newest first, none before its children."""
    try:
        walker = repository.walk(new, SortMode.TOPOLOGICAL | SortMode.TIME)
        if old is not None:
            walker.hide(old)
        yield from walker
    except (KeyError, ValueError, pygit2.GitError) as error:
        message = f"{new}: its history can't be read: {error}"
        raise MalformedError(message) from error


def _complete(repository: pygit2.Repository, commit: str) -> bool:
    """Return whether a commit and its parents are here."""
    try:
        found = repository[commit]
    except (KeyError, ValueError):
        return False
    return isinstance(found, pygit2.Commit) and all(parent in repository for parent in found.parent_ids)


def commit_info(repository: pygit2.Repository, commit: pygit2.Commit) -> CommitInfo:
    """Return what is told of a commit; raise `MalformedError` if one of its objects is missing or damaged."""
    parents = tuple(str(parent) for parent in commit.parent_ids)
    before = tree_of(repository, parents[0]) if parents else None
    return CommitInfo(
        sha=str(commit.id),
        author=_text(commit.author.raw_name),
        email=_text(commit.author.raw_email),
        time=_time(commit.commit_time),
        subject=_text(commit.raw_message.strip().partition(b"\n")[0]),
        paths=tuple(diff_trees(repository, before, str(commit.tree_id))),
        parents=parents,
    )


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")[:TEXT_LIMIT]


def _time(seconds: int) -> str:
    """Return RFC 3339; a commit may claim any time, so what no calendar holds becomes its nearest end."""
    last = 253_402_300_799  # 9999-12-31T23:59:59Z
    return datetime.fromtimestamp(min(max(seconds, 0), last), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
