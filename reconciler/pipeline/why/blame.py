"""Who wrote a line: the commit that git blames for it, who reviewed and merged that as far as git has it.

What a forge knows besides (approvals that left no trailer) is not in git, and is not told here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pygit2
from pygit2.enums import ObjectType, SortMode

from agent.protocol.errors import MalformedError
from reconciler.pipeline.source.commits import CommitInfo, commit_info, descends
from reconciler.pipeline.source.directories import find_node, read_object, tree_of

LOOKED_AT = 10_000
"""Commits that are gone through for one line: git blame follows all of a history, and an old one has hundreds of thousands."""
_REVIEW = re.compile(r"^(Reviewed-by|Approved-by|Acked-by|Signed-off-by|Co-authored-by):\s*(\S.{0,200})$", re.IGNORECASE | re.MULTILINE)
_CHANGE = re.compile(r"(?:Merge pull request |See merge request \S{0,200}?|\()([#!]\d{1,9})\b")
"""How forges name the change in a commit: `Merge pull request #12`, `See merge request group/project!12`, `subject (#12)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """What a message says below its text of people: `key` as written, such as `Reviewed-by`, and who."""

    key: str
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """The commit that a line is from; `merged` is the merge that brought it to the branch, and `change` its number at the forge."""

    commit: CommitInfo
    trailers: tuple[Trailer, ...] = ()
    merged: CommitInfo | None = None
    change: str = ""


class Blamer:
    """Blames lines of one head; what it found is kept, since lines of one answer are often from one commit."""

    def __init__(self, repository: pygit2.Repository, head: str, *, prefix: str = "") -> None:
        """`prefix` is where the fleet repository lies in the git repository (`fleets/`)."""
        self._repository, self._head, self._prefix = repository, head, prefix
        self._authors: dict[str, Author] = {}
        self._oldest: str | None = None

    def line(self, path: str, oid: str, number: int) -> Author | None:
        """Return who wrote a line of the version `oid` of a file; None where that is older than LOOKED_AT commits, or in none of them.

        Raises:
            MalformedError: an object is missing or damaged, as in a shallow clone.
        """
        path = self._prefix + path
        start = self._having(path, oid)
        if start is None:
            return None
        try:
            found = self._repository.blame(path, newest_commit=start, oldest_commit=self._bound(), min_line=number, max_line=number)
            sha = str(found.for_line(number).final_commit_id)
        except (KeyError, ValueError, IndexError, pygit2.GitError) as error:
            message = f"{path}:{number} can't be blamed: {error}; a shallow clone lacks the history (`git fetch --unshallow`)"
            raise MalformedError(message) from error
        if self._is_cut(sha):
            message = f"this clone ends at {sha[:12]}, and the line is of that commit or of an older one (`git fetch --unshallow`)"
            raise MalformedError(message)
        return None if sha == self._oldest else self._author(sha)

    def _is_cut(self, sha: str) -> bool:
        """Return whether a commit has parents that are not here: blame ends there, whoever wrote the line."""
        head, _, _ = read_object(self._repository, sha, ObjectType.COMMIT).partition(b"\n\n")
        parents = (line[7:].decode() for line in head.split(b"\n") if line.startswith(b"parent "))
        return any(pygit2.Oid(hex=parent) not in self._repository.odb for parent in parents)

    def _having(self, path: str, oid: str) -> str | None:
        """Return the newest commit that has this version of a file: the head, but where the file was refused since."""
        for sha in self._history():
            node = find_node(self._repository, tree_of(self._repository, sha), path)
            if node is not None and node[1] == oid:
                return sha
        return None

    def _history(self) -> Iterator[str]:
        try:
            walker = self._repository.walk(self._head, SortMode.TOPOLOGICAL | SortMode.TIME)
            yield from (str(commit.id) for commit in islice(walker, LOOKED_AT))
        except (KeyError, ValueError, pygit2.GitError) as error:
            message = f"{self._head}: its history can't be read: {error}; a shallow clone lacks it (`git fetch --unshallow`)"
            raise MalformedError(message) from error

    def _bound(self) -> str | None:
        """Return the commit behind which nothing is looked at, None where the history is shorter."""
        if self._oldest is None:
            last = list(self._history())
            self._oldest = last[-1] if len(last) == LOOKED_AT else ""
        return self._oldest or None

    def _author(self, sha: str) -> Author:
        if sha not in self._authors:
            commit = self._repository[sha].peel(pygit2.Commit)
            merge = self._merge_of(sha)
            texts = [_message(one) for one in (commit, merge) if one is not None]
            trailers = dict.fromkeys(Trailer(key=key.capitalize(), who=who.strip()) for text in texts for key, who in _REVIEW.findall(text))
            changes = [match[1] for text in reversed(texts) for match in [_CHANGE.search(text)] if match]
            self._authors[sha] = Author(
                commit=commit_info(self._repository, commit),
                trailers=tuple(trailers),
                merged=commit_info(self._repository, merge) if merge is not None else None,
                change=changes[0] if changes else "",
            )
        return self._authors[sha]

    def _merge_of(self, sha: str) -> pygit2.Commit | None:
        """Return the commit of the branch itself that brought `sha` in: a merge, None where `sha` was made on the branch."""
        chain = list(islice(self._chain(), LOOKED_AT))
        low, high = 0, len(chain) - 1  # the newer a commit of the chain, the sooner it has `sha`: bisect for the oldest that does
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if descends(self._repository, sha, str(chain[middle].id)) else (low, middle - 1)
        found = chain[low]
        return found if str(found.id) != sha and len(found.parent_ids) > 1 else None

    def _chain(self) -> Iterator[pygit2.Commit]:
        found: pygit2.Object | None = self._repository[self._head]
        while isinstance(found, pygit2.Commit):
            yield found
            found = self._repository.get(found.parent_ids[0]) if found.parent_ids else None


def _message(commit: pygit2.Commit) -> str:
    return commit.raw_message.decode(errors="replace")
