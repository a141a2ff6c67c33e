"""Snapshots out of git objects, listed from an earlier one where there is one."""

from bisect import bisect_left
from collections.abc import Mapping

import pygit2
from pygit2.enums import ObjectType

from agent.protocol.errors import MalformedError
from reconciler.pipeline.layers import derived
from reconciler.pipeline.source.directories import (
    FILES_LIMIT,
    REGULAR,
    SUBMODULE,
    TREE,
    changes_between,
    file_mode,
    find_node,
    parents_of,
    read_object,
    settled,
    size_of,
    tree_of,
)
from reconciler.pipeline.tree import Entry


class CommitTree:
    """A snapshot of a commit or of a tree, as `tree.Tree`.

    It is listed when first asked for, starting from `near` (an earlier snapshot of the same repository) where there
    is one: then a commit of one file costs what comparing the two trees costs.
    """

    def __init__(self, repository: pygit2.Repository, revision: str, *, near: "CommitTree | None" = None) -> None:
        """`revision` is the full sha of a commit or of a tree; raise `MalformedError` if it is neither."""
        self.repository = repository
        self.oid = tree_of(repository, revision)
        self._near = near
        self._entries: Mapping[str, Entry] | None = None

    @property
    def entries(self) -> Mapping[str, Entry]:
        """As `Tree.entries`; raise `MalformedError` past the limits of files and depth."""
        if self._entries is None:
            near, self._near = self._near, None
            listed = near is not None and near.repository.path == self.repository.path and near._entries is not None  # noqa: SLF001 - its own kind
            self._entries = self._list(near.oid, near.entries) if near and listed else self._list(None, {})
        return self._entries

    def know(self, entries: Mapping[str, Entry]) -> None:
        """Take the listing of the very same tree from earlier in place of listing it."""
        self._entries = entries

    def _list(self, oid: str | None, known: Mapping[str, Entry]) -> Mapping[str, Entry]:
        changes = {path: after for path, _, after in changes_between(self.repository, oid, self.oid)}
        put = {path: Entry(oid=after[1], mode=after[0], size=size_of(self.repository, *after)) for path, after in changes.items() if after}
        entries = derived(known, put, changes.keys() - put.keys(), ordered=True)
        if len(entries) > FILES_LIMIT:
            message = f"the repository has {len(entries)} files, more than {FILES_LIMIT}; take some out"
            raise MalformedError(message)
        return entries

    def read(self, path: str) -> bytes:
        """As `Tree.read`, by walking the path: nothing is listed."""
        mode, oid = self._find(path)
        if mode in (TREE, SUBMODULE):
            raise KeyError(path)
        return self.blob(oid)

    def _find(self, path: str) -> tuple[int, str]:
        if self._entries is not None:
            entry = self._entries[path]
            return entry.mode, entry.oid
        node = find_node(self.repository, self.oid, path)
        if node is None:
            raise KeyError(path)
        return node

    def blob(self, oid: str) -> bytes:
        """Return a blob of the repository by its id; raise `MalformedError` if there is none, or it is larger than READ_LIMIT."""
        return read_object(self.repository, oid, ObjectType.BLOB)


class PatchedTree:
    """A snapshot laid over another: some paths have other blobs (which the repository must hold), or are gone (None).

    It is what `write_tree` would write, without writing: a file that is put back takes the place of a directory of
    its name, and a directory that a put file needs takes the place of a file.
    """

    def __init__(self, base: "CommitTree | PatchedTree", replace: Mapping[str, str | None]) -> None:
        self._base, self._replace = base, settled(replace)
        self._entries: Mapping[str, Entry] | None = None

    @property
    def repository(self) -> pygit2.Repository:
        """Where its objects are."""
        return self._base.repository

    @property
    def entries(self) -> Mapping[str, Entry]:
        """As `Tree.entries`."""
        if self._entries is None:
            self._entries = self._list()
        return self._entries

    def _list(self) -> Mapping[str, Entry]:
        base = self._base.entries
        entries = dict(base)
        for path, oid in self._replace.items():
            if oid is None:
                entries.pop(path, None)
                continue
            mode = file_mode(base[path].mode if path in base else REGULAR)
            entries[path] = Entry(oid=oid, mode=mode, size=size_of(self.repository, mode, oid))
        new = entries.keys() - base.keys()
        if not new:
            return entries
        names = list(base)
        for path in new:
            below = slice(bisect_left(names, path + "/"), bisect_left(names, path + "0"))  # "0" follows "/"
            for gone in (*names[below], *parents_of(path)):
                entries.pop(gone, None)
        return dict(sorted(entries.items()))

    def read(self, path: str) -> bytes:
        """As `Tree.read`."""
        entry = self.entries[path]
        if entry.mode == SUBMODULE:
            raise KeyError(path)
        return self.blob(entry.oid)

    def blob(self, oid: str) -> bytes:
        """As `CommitTree.blob`."""
        return self._base.blob(oid)
