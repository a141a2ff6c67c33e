"""Git's tree objects: reading, comparing and writing directories, at a cost that follows what differs.

Tree objects are parsed here rather than by libgit2, whose tree builder and iterators refuse some hostile
names half-way: one reading serves listing, comparing and writing, so they can't disagree. Names such as
`..` are read like any other; nothing here touches a file system.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import pygit2
from pygit2.enums import ObjectType

from agent.protocol.errors import MalformedError
from reconciler.pipeline.tree import Difference

FILES_LIMIT = 100_000
"""Files of a snapshot; twice as many, and as many directories, in a difference. Ten trees that name each other hold 10^10 files."""
DEPTH_LIMIT = 64
"""Parts of a path."""
READ_LIMIT = 32 * 1024 * 1024
"""Bytes of one file that are read into memory: as much as a packed bundle may hold."""
KEPT_DIRECTORIES, KEPT_SIZE = 64, 64 * 1024
"""Directories that are kept as parsed, and bytes of one (some 1,500 names): a commit is compared with the one before several times."""
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

TREE, SUBMODULE, REGULAR = 0o040000, 0o160000, 0o100644
_KIND = 0o170000
_RECORD = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)
Node = tuple[int, str]
"""What stands under a name: (mode, oid)."""
Directory = Mapping[bytes, Node]


def parse_tree(data: bytes, oid: str) -> Directory:
    """Read a tree object; raise `MalformedError` if any byte of it is not a proper record."""
    return _parse_kept(data, oid) if len(data) <= KEPT_SIZE else _parse(data, oid)


def _parse(data: bytes, oid: str) -> Directory:
    records = _RECORD.findall(data)
    if sum(len(mode) + len(name) for mode, name, _ in records) + 22 * len(records) != len(data):
        message = f"tree {oid}: not a well-formed git tree"
        raise MalformedError(message)
    return {name: (int(mode, 8), raw.hex()) for mode, name, raw in records}


_parse_kept = lru_cache(maxsize=KEPT_DIRECTORIES)(_parse)


def read_directory(repository: pygit2.Repository, oid: str | None) -> Directory:
    """Return the directory that a tree object holds, empty for None; raise `MalformedError` as `read_object`."""
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


def changes_between(repository: pygit2.Repository, old: str | None, new: str | None) -> Iterator[tuple[str, Node | None, Node | None]]:
    """Yield (path, before, after) of all that differs and is no directory, in no order of its own."""
    left: list[tuple[str, int, str | None, str | None]] = [("", 0, old, new)]
    files = directories = 0
    while left:
        prefix, depth, old_oid, new_oid = left.pop()
        before, after = read_directory(repository, old_oid), read_directory(repository, new_oid)
        directories += 1
        if depth > DEPTH_LIMIT or max(directories, files) > 2 * FILES_LIMIT:
            message = f"{prefix}: more than {2 * FILES_LIMIT} files or directories at once, or deeper than {DEPTH_LIMIT}; take some out"
            raise MalformedError(message)
        for name in {changed for changed, _ in before.items() ^ after.items()}:
            path, was, now = prefix + _decode(name), before.get(name), after.get(name)
            below = _inner(was), _inner(now)
            if any(below):
                left.append((path + "/", depth + 1, *below))
            if (was and not below[0]) or (now and not below[1]):
                files += 1
                yield path, None if below[0] else was, None if below[1] else now


def _inner(node: Node | None) -> str | None:
    """Return the oid of what stands under a name if it is a directory."""
    return node[1] if node and node[0] == TREE else None


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
        before, after = read_directory(repository, old_oid), read_directory(repository, new_oid)
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
    changes = list(changes_between(repository, old, new))
    return Difference(
        added=frozenset(path for path, before, _ in changes if before is None),
        changed=frozenset(path for path, before, after in changes if before and after),
        removed=frozenset(path for path, _, after in changes if after is None),
    )


def tree_of(repository: pygit2.Repository, revision: str) -> str:
    """Return the id of the tree of a commit (full sha), or of the tree itself; raise `MalformedError` if it is neither."""
    try:
        return str(repository[revision].peel(pygit2.Tree).id)
    except (KeyError, ValueError, pygit2.GitError) as error:
        message = f"{revision[:80]}: no commit and no tree of the repository ({error})"
        raise MalformedError(message) from error


def find_node(repository: pygit2.Repository, tree: str, path: str) -> Node | None:
    """Return what stands at a path of a tree, None if nothing does; nothing is listed. Raise `MalformedError` as `read_object`."""
    node: Node | None = (TREE, tree)
    for part in path.encode(errors="surrogateescape").split(b"/"):
        node = read_directory(repository, node[1]).get(part) if node is not None and node[0] == TREE else None
    return node


def size_of(repository: pygit2.Repository, mode: int, oid: str) -> int:
    """Return the bytes of a blob, without reading it; 0 for a submodule."""
    if mode == SUBMODULE:
        return 0
    try:
        return int(repository.odb.read_header(oid)[1])
    except (KeyError, ValueError, pygit2.GitError) as error:
        message = f"object {oid}: not in the repository, or damaged ({error})"
        raise MalformedError(message) from error


def parents_of(path: str) -> Iterator[str]:
    """Yield the directories above a path, nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def settled(replace: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the replacements without those that another one overrules: of a file and a file below it, the one below stays."""
    needed = {parent for path, oid in replace.items() if oid is not None for parent in parents_of(path)}
    put = {path for path, oid in replace.items() if oid is not None} - needed
    return {path: oid for path, oid in replace.items() if path not in needed and put.isdisjoint(parents_of(path))}


def file_mode(mode: int) -> int:
    """Return the mode of a file that takes the place of one with `mode`: links and submodules become regular files."""
    return mode if mode & _KIND == REGULAR & _KIND else REGULAR


_Nested = dict[bytes, "str | _Nested | None"]


def write_tree(repository: pygit2.Repository, base: str, overrides: Mapping[str, str | None]) -> str:
    """Return the id of tree `base` with some paths replaced by blobs, or taken out (None); only touched directories are written.

    Raises:
        MalformedError: a touched directory of `base` is missing or damaged.
    """
    nested: _Nested = {}
    for path, oid in settled(overrides).items():
        *parents, name = path.encode(errors="surrogateescape").split(b"/")
        level: Any = nested
        for part in parents:
            below = level.get(part)
            level[part] = level = below if isinstance(below, dict) else {}
        if not isinstance(level.get(name), dict):
            level[name] = oid
    return _write_directory(repository, base, nested) or str(repository.odb.write(ObjectType.TREE, b""))


def _write_directory(repository: pygit2.Repository, base: str | None, changes: _Nested) -> str | None:
    """Return the id of a directory with the changes made, or None if nothing is left in it."""
    directory = dict(read_directory(repository, base))
    for name, change in changes.items():
        mode, oid = directory.get(name, (0, None))
        if isinstance(change, dict):
            written = _write_directory(repository, oid if mode == TREE else None, change)
            if written:
                directory[name] = (TREE, written)
            elif mode == TREE:
                del directory[name]
        elif change is not None:
            directory[name] = (file_mode(mode), change)
        elif mode and mode != TREE:
            del directory[name]
    return str(repository.odb.write(ObjectType.TREE, _encode_tree(directory))) if directory else None


def _encode_tree(directory: Directory) -> bytes:
    """Return a tree object; git sorts directories as if their names ended in a slash."""
    ordered = sorted(directory.items(), key=lambda item: item[0] + b"/" if item[1][0] == TREE else item[0])
    return b"".join(b"%o %s\0%s" % (mode, name, bytes.fromhex(oid)) for name, (mode, oid) in ordered)
