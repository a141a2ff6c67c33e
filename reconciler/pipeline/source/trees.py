"""Snapshots out of git objects; the cost of a step follows what changed, not what there is.

Tree objects are parsed here rather than by libgit2, whose tree builder and iterators refuse some hostile
names half-way: one reading serves listing, comparing and writing, so they can't disagree. Names such as
`..` are listed like any other; nothing here touches a file system.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any

import pygit2
from pygit2.enums import ObjectType

from agent.protocol.errors import MalformedError
from reconciler.pipeline.tree import Difference, Entry

FILES_LIMIT = 100_000
"""Files, and directories, of a snapshot or of a difference: trees can name each other so that ten objects hold 10^10 files."""
DEPTH_LIMIT = 64
"""Parts of a path."""
READ_LIMIT = 32 * 1024 * 1024
"""Bytes of one file that are read into memory: as much as a packed bundle may hold."""
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

TREE, SUBMODULE, REGULAR = 0o040000, 0o160000, 0o100644
_RECORD = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)
_Directory = dict[bytes, tuple[int, str]]
"""Name → (mode, oid)."""


def parse_tree(data: bytes, oid: str) -> _Directory:
    """Read a tree object; raise `MalformedError` if any byte of it is not a proper record."""
    records = _RECORD.findall(data)
    if sum(len(mode) + len(name) for mode, name, _ in records) + 22 * len(records) != len(data):
        message = f"tree {oid}: not a well-formed git tree"
        raise MalformedError(message)
    return {name: (int(mode, 8), raw.hex()) for mode, name, raw in records}


def _read_directory(repository: pygit2.Repository, oid: str | None) -> _Directory:
    if oid is None or oid == EMPTY_TREE:
        return {}
    return parse_tree(read_object(repository, oid, ObjectType.TREE), oid)


def read_object(repository: pygit2.Repository, oid: str, kind: ObjectType) -> bytes:
    """Return the bytes of an object; raise `MalformedError` if it isn't there, is damaged, too large or of another kind."""
    try:
        stated, size = repository.odb.read_header(oid)
        if stated != kind or size > READ_LIMIT:
            message = f"object {oid}: {size} bytes of type {stated}; a {kind.name.lower()} of at most {READ_LIMIT} bytes belongs there"
            raise MalformedError(message)
        return repository.odb.read(oid)[1]
    except (KeyError, ValueError, pygit2.GitError) as error:
        message = f"object {oid}: not in the repository, or damaged ({error})"
        raise MalformedError(message) from error


def _decode(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _changes(repository: pygit2.Repository, old: str | None, new: str | None) -> Iterator[tuple[str, tuple[int, str] | None, tuple[int, str] | None]]:
    """Yield (path, before, after) of all that differs and is no directory, in no order of its own."""
    left: list[tuple[str, int, str | None, str | None]] = [("", 0, old, new)]
    files = directories = 0
    while left:
        prefix, depth, old_oid, new_oid = left.pop()
        before, after = _read_directory(repository, old_oid), _read_directory(repository, new_oid)
        directories += 1
        if depth > DEPTH_LIMIT or max(directories, files) > FILES_LIMIT:
            message = f"{prefix}: the repository has more than {FILES_LIMIT} files or directories, or directories deeper than {DEPTH_LIMIT}; take some out"
            raise MalformedError(message)
        for name in {changed for changed, _ in before.items() ^ after.items()}:
            path, was, now = prefix + _decode(name), before.get(name), after.get(name)
            inner = tuple(side[1] if side and side[0] == TREE else None for side in (was, now))
            if any(inner):
                left.append((path + "/", depth + 1, *inner))
            outer = tuple(side if side and side[0] != TREE else None for side in (was, now))
            if any(outer):
                files += 1
                yield path, *outer


def missing_objects(repository: pygit2.Repository, old: str | None, new: str) -> Iterator[tuple[str, str]]:
    """Yield (type, oid) of the trees and blobs that tree `new` has where tree `old` has others; some may come twice.

    Raises:
        MalformedError: as `diff_trees`.
    """
    left: list[tuple[str | None, str]] = [(old, new)] if old != new else []
    seen: set[str] = set()
    while left:
        old_oid, new_oid = left.pop()
        if new_oid in seen:
            continue
        seen.add(new_oid)
        yield "tree", new_oid
        before, after = _read_directory(repository, old_oid), _read_directory(repository, new_oid)
        for name, (mode, oid) in after.items() - before.items():
            was = before.get(name)
            if mode == TREE:
                left.append((was[1] if was and was[0] == TREE else None, oid))
            elif mode != SUBMODULE:
                yield "blob", oid


def diff_trees(repository: pygit2.Repository, old: str | None, new: str) -> Difference:
    """Return which paths differ between two trees (their ids; None is the empty one), looking only into directories that do.

    Raises:
        MalformedError: an object is missing or damaged, or there are more files than FILES_LIMIT.
    """
    changes = list(_changes(repository, old, new))
    return Difference(
        added=frozenset(path for path, before, _ in changes if before is None),
        changed=frozenset(path for path, before, after in changes if before and after),
        removed=frozenset(path for path, _, after in changes if after is None),
    )


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

    def _list(self, oid: str | None, known: Mapping[str, Entry]) -> Mapping[str, Entry]:
        entries, grown = dict(known), False
        for path, _, after in _changes(self.repository, oid, self.oid):
            if after is None:
                del entries[path]
            else:
                grown = grown or path not in entries
                entries[path] = Entry(oid=after[1], mode=after[0], size=size_of(self.repository, *after))
        if len(entries) > FILES_LIMIT:
            message = f"the repository has {len(entries)} files, more than {FILES_LIMIT}; take some out"
            raise MalformedError(message)
        return dict(sorted(entries.items())) if grown else entries

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
        mode, oid = TREE, self.oid
        for part in path.encode(errors="surrogateescape").split(b"/"):
            found = _read_directory(self.repository, oid).get(part) if mode == TREE else None
            if found is None:
                raise KeyError(path)
            mode, oid = found
        return mode, oid

    def blob(self, oid: str) -> bytes:
        """Return a blob of the repository by its id; raise `MalformedError` if there is none, or it is larger than READ_LIMIT."""
        return read_object(self.repository, oid, ObjectType.BLOB)


def tree_of(repository: pygit2.Repository, revision: str) -> str:
    """Return the id of the tree of a commit (full sha), or of the tree itself; raise `MalformedError` if it is neither."""
    try:
        return str(repository[revision].peel(pygit2.Tree).id)
    except (KeyError, ValueError, pygit2.GitError) as error:
        message = f"{revision[:80]}: no commit and no tree of the repository ({error})"
        raise MalformedError(message) from error


def size_of(repository: pygit2.Repository, mode: int, oid: str) -> int:
    """Return the bytes of a blob, without reading it; 0 for a submodule."""
    if mode == SUBMODULE:
        return 0
    try:
        return int(repository.odb.read_header(oid)[1])
    except (KeyError, ValueError, pygit2.GitError) as error:
        message = f"object {oid}: not in the repository, or damaged ({error})"
        raise MalformedError(message) from error


class PatchedTree:
    """A snapshot laid over another: some paths have other blobs (which the repository must hold), or are gone (None).

    It is what `write_tree` would write, without writing: a file that is put back takes the place of a directory of
    its name, and a directory that a put file needs takes the place of a file.
    """

    def __init__(self, base: "CommitTree | PatchedTree", replace: Mapping[str, str | None]) -> None:
        self._base, self._replace = base, _settled(replace)
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
            mode = _file_mode(base[path].mode if path in base else REGULAR)
            entries[path] = Entry(oid=oid, mode=mode, size=size_of(self.repository, mode, oid))
        new = entries.keys() - base.keys()
        if not new:
            return entries
        names = list(base)
        for path in new:
            below = slice(bisect_left(names, path + "/"), bisect_left(names, path + "0"))  # "0" follows "/"
            for gone in (*names[below], *_parents(path)):
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


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _settled(replace: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the replacements without those that another one overrules: of a file and a file below it, the one below stays."""
    needed = {parent for path, oid in replace.items() if oid is not None for parent in _parents(path)}
    put = {path for path, oid in replace.items() if oid is not None} - needed
    return {path: oid for path, oid in replace.items() if path not in needed and put.isdisjoint(_parents(path))}


def _file_mode(mode: int) -> int:
    """Return the mode of a file that takes the place of one with `mode`: links and submodules become regular files."""
    return mode if mode & 0o170000 == 0o100000 else REGULAR


_Nested = dict[bytes, "str | None | _Nested"]


def write_tree(repository: pygit2.Repository, base: str, overrides: Mapping[str, str | None]) -> str:
    """Return the id of tree `base` with some paths replaced by blobs, or taken out (None); only touched directories are written.

    Raises:
        MalformedError: a touched directory of `base` is missing or damaged.
    """
    nested: _Nested = {}
    for path, oid in _settled(overrides).items():
        *parents, name = path.encode(errors="surrogateescape").split(b"/")
        level: Any = nested
        for part in parents:
            below = level.get(part)
            level[part] = level = below if isinstance(below, dict) else {}
        if not isinstance(level.get(name), dict):
            level[name] = oid
    return _write_directory(repository, base, nested) or EMPTY_TREE


def _write_directory(repository: pygit2.Repository, base: str | None, changes: _Nested) -> str | None:
    """Return the id of a directory with the changes made, or None if nothing is left in it."""
    directory = _read_directory(repository, base)
    for name, change in changes.items():
        mode, oid = directory.get(name, (0, None))
        if isinstance(change, dict):
            written = _write_directory(repository, oid if mode == TREE else None, change)
            if written:
                directory[name] = (TREE, written)
            elif mode == TREE:
                del directory[name]
        elif change is not None:
            directory[name] = (_file_mode(mode), change)
        elif mode and mode != TREE:
            del directory[name]
    return str(repository.odb.write(ObjectType.TREE, _encode_tree(directory))) if directory else None


def _encode_tree(directory: _Directory) -> bytes:
    """Return a tree object; git sorts directories as if their names ended in a slash."""
    ordered = sorted(directory.items(), key=lambda item: item[0] + b"/" if item[1][0] == TREE else item[0])
    return b"".join(b"%o %s\0%s" % (mode, name, bytes.fromhex(oid)) for name, (mode, oid) in ordered)
