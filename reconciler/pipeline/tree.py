"""A snapshot of a fleet repository: paths, their content's ids, and bytes on demand.

The stages from manifests to compile see only this, so a commit, a working tree and an accepted
state are all the same to them, and two snapshots can be compared without reading a file.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file: `oid` is git's blob id (40 hexadecimal digits), `mode` git's (0o100644, 0o120000, 0o160000)."""

    oid: str
    mode: int
    size: int


class Tree(Protocol):
    """What a stage may ask of a snapshot."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All files by path relative to the root, `/` between parts, in order of path."""
        ...

    def read(self, path: str) -> bytes:
        """Return the bytes of a file; raise `KeyError` if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Paths added, changed and removed between two snapshots."""

    added: frozenset[str]
    changed: frozenset[str]
    removed: frozenset[str]

    @property
    def touched(self) -> frozenset[str]:
        """All of them."""
        return self.added | self.changed | self.removed

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.touched))


def blob_id(data: bytes) -> str:
    """Return git's id of a blob with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def difference(old: Tree, new: Tree) -> Difference:
    """Return which paths differ; a changed mode counts as changed."""
    before, after = old.entries, new.entries
    both = before.keys() & after.keys()
    return Difference(
        added=frozenset(after.keys() - before.keys()),
        changed=frozenset(path for path in both if (before[path].oid, before[path].mode) != (after[path].oid, after[path].mode)),
        removed=frozenset(before.keys() - after.keys()),
    )


@dataclass(frozen=True, slots=True)
class MemoryTree:
    """A snapshot held in memory: path → bytes. The empty one is what comes before the first commit."""

    files: Mapping[str, bytes]

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All files, as `Tree.entries`."""
        return {path: Entry(oid=blob_id(data), mode=0o100644, size=len(data)) for path, data in sorted(self.files.items())}

    def read(self, path: str) -> bytes:
        """Return a file's bytes, as `Tree.read`."""
        return self.files[path]


EMPTY = MemoryTree({})
