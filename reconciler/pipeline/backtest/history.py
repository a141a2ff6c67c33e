"""The steps of a branch as a reconciler would have taken them: first parents, each with all the commits that it brought."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pygit2
from pygit2.enums import SortMode

from agent.protocol.errors import MalformedError
from reconciler.pipeline.source.commits import CommitInfo, commit_info, commits_between
from reconciler.pipeline.source.directories import TREE, find_node, tree_of

STEPS_LIMIT = 10_000
"""Steps of one replay, the newest: some years of a busy branch."""
BROUGHT_LIMIT = 10_000
"""Commits that one merge is taken to bring; of more, the newest."""
_REVERTS = re.compile(rb"\breverts commit ([0-9a-f]{40})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One commit on the first-parent chain. `tree` and `before` are the ids of the fleet directory's trees, None where there was none.

    `brought` are the shas of all commits that came with it, its own included; `reverts` those that their messages say they undo.
    `who` finds the author of a file's change among them: of a merge, the one who wrote it.
    """

    info: CommitInfo
    parent: str | None
    tree: str | None
    before: str | None
    brought: frozenset[str]
    reverts: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The steps to replay, oldest first, and whether older ones were left out: by the limit, or by a shallow clone."""

    steps: tuple[Step, ...]
    cut: bool

    def step_of(self, sha: str) -> int | None:
        """Return the number of the step that brought a commit, None where it lies outside."""
        return next((number for number, step in enumerate(self.steps) if sha in step.brought), None)


def history_of(repository: pygit2.Repository, head: str, *, since: str, prefix: str = "", limit: int = STEPS_LIMIT) -> History:
    """Return the steps to `head` of which the commit is not older than `since` (RFC 3339, UTC); the walk ends at the first that is.

    `prefix` is the way to the fleet repository in the git repository, empty or with a slash at its end.

    Raises:
        MalformedError: an object is missing or damaged.
    """
    found: list[Step] = []
    sha: str | None = head
    while sha is not None and len(found) < limit:
        commit = _commit(repository, sha)
        if commit_info(repository, commit).time < since:
            return History(steps=tuple(reversed(found)), cut=False)
        if repository.is_shallow and not commit.parent_ids:
            break  # what it is said to bring is all that there was, since what came before was left out
        found.append(_step(repository, commit, prefix))
        sha = found[-1].parent
    return History(steps=tuple(reversed(found)), cut=sha is not None)


def authors(repository: pygit2.Repository, step: Step, files: Iterable[str], prefix: str = "") -> Mapping[str, tuple[str, str]]:
    """Return (name, address) of who wrote each file's change of a step: of a merge, the author of the newest commit with that file."""
    own = (step.info.author, step.info.email)
    if len(step.brought) == 1:
        return dict.fromkeys(files, own)
    inner = [one for one in commits_between(repository, step.parent, step.info.sha) if len(one.parents) == 1]
    return {file: next(((one.author, one.email) for one in reversed(inner) if prefix + file in one.paths), own) for file in files}


def _commit(repository: pygit2.Repository, sha: str) -> pygit2.Commit:
    try:
        return repository[sha].peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError) as error:
        message = f"commit {sha[:12]} is not here, or damaged ({error}); fetch the history again, or look less far back with --since"
        raise MalformedError(message) from error


def _step(repository: pygit2.Repository, commit: pygit2.Commit, prefix: str) -> Step:
    parent = str(_commit(repository, str(commit.parent_ids[0])).id) if commit.parent_ids else None
    sha = str(commit.id)
    came = _brought(repository, commit, parent)
    return Step(
        info=commit_info(repository, commit),
        parent=parent,
        tree=_tree(repository, sha, prefix),
        before=_tree(repository, parent, prefix) if parent else None,
        brought=frozenset(str(one.id) for one in came),
        reverts=frozenset(match.decode() for one in came for match in _REVERTS.findall(one.raw_message)),
    )


def _brought(repository: pygit2.Repository, commit: pygit2.Commit, parent: str | None) -> list[pygit2.Commit]:
    if len(commit.parent_ids) < 2:  # noqa: PLR2004 - a merge has two
        return [commit]
    walker = repository.walk(commit.id, SortMode.TOPOLOGICAL)
    if parent is not None:
        walker.hide(parent)
    return [one for _, one in zip(range(BROUGHT_LIMIT), walker, strict=False)]


def _tree(repository: pygit2.Repository, revision: str, prefix: str) -> str | None:
    tree = tree_of(repository, revision)
    node = find_node(repository, tree, prefix.rstrip("/")) if prefix else (TREE, tree)
    return node[1] if node is not None and node[0] == TREE else None
