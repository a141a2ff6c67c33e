"""Snapshots out of git objects; the cost of a step follows what changed, not what there is."""

from collections.abc import Mapping

import pygit2

from reconciler.pipeline.tree import Difference, Entry


class CommitTree:
    """A snapshot of a commit or of a tree, as `tree.Tree`. Listing is done on first need and shared with earlier snapshots."""

    def __init__(self, repository: pygit2.Repository, revision: str) -> None:
        """`revision` is the full sha of a commit or of a tree; raise `MalformedError` if it is neither."""
        raise NotImplementedError

    @property
    def oid(self) -> str:
        """The git id of the tree."""
        raise NotImplementedError

    @property
    def repository(self) -> pygit2.Repository:
        """Where its objects are."""
        raise NotImplementedError

    @property
    def entries(self) -> Mapping[str, Entry]:
        """As `Tree.entries`; raise `MalformedError` past the limits of files and depth."""
        raise NotImplementedError

    def read(self, path: str) -> bytes:
        """As `Tree.read`, by walking the path: nothing is listed."""
        raise NotImplementedError

    def blob(self, oid: str) -> bytes:
        """Return a blob of the repository by its id; raise `MalformedError` if there is none."""
        raise NotImplementedError


class PatchedTree:
    """A snapshot laid over another: some paths have other blobs (which the repository must hold), or are gone (None)."""

    def __init__(self, base: "CommitTree | PatchedTree", replace: Mapping[str, str | None]) -> None:
        raise NotImplementedError


def diff_trees(repository: pygit2.Repository, old: str | None, new: str) -> Difference:
    """Return which paths differ between two trees (their ids; None is the empty one), looking only into directories that do."""
    raise NotImplementedError


def write_tree(repository: pygit2.Repository, base: str, overrides: Mapping[str, str | None]) -> str:
    """Return the id of tree `base` with some paths replaced by blobs, or taken out (None); only touched directories are written."""
    raise NotImplementedError
