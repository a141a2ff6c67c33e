"""A working directory as a snapshot, and what is refused of any snapshot before a manifest of it is read.

What leads out of the repository, or looks different on another machine, is refused by name: symlinks, submodules,
LFS pointers, paths that differ only in case.
"""

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import pygit2

from reconciler.pipeline.clashes import Clash, clashes, parents
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.reading import SIZE_LIMIT
from reconciler.pipeline.tree import Entry, Tree, blob_id
from reconciler.printable import printable

FILES_LIMIT = 100_000
"""Files of one fleet repository: ten times the largest that was measured."""
TOO_MANY_FILES = "manifest/too-many-files"
"""The finding that is about no file: it refuses whatever a change touches."""
LFS_POINTER_LIMIT = 1024
"""Bytes that a Git LFS pointer may have: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""
_LFS_START = b"version https://git-lfs.github.com/spec/"
_CHUNK = 1024 * 1024
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no path may have: control characters, signs that turn the writing direction, and bytes that are no UTF-8."""
KEPT_FILE, KEPT_TOTAL = 64 * 1024, 256 * 1024 * 1024
"""Bytes of one file, and of all, that a directory's listing keeps: it has read them for their id, and manifests are small."""
SYMLINK, SUBMODULE, REGULAR, EXECUTABLE = 0o120000, 0o160000, 0o100644, 0o100755


class Unchanged(Protocol):
    """What remembers the blob ids of files that did not change since they were read."""

    def get(self, path: str, status: os.stat_result) -> str | None:
        """Return the blob id of a file with this status, None where it must be read."""
        ...

    def put(self, path: str, status: os.stat_result, oid: str) -> None:
        """Keep the blob id of a file that was read after its status was taken."""
        ...


class DirectoryTree:
    """A working directory as a `Tree`: without `.git` and what git ignores; symlinks are listed, not followed.

    It is listed once, when first asked; a nested repository is listed as a submodule and not entered. What is listed is
    also what is read later, so that an editor that saves meanwhile changes nothing (but for large files, and those that
    are known from before).
    """

    def __init__(self, root: Path, *, known: Unchanged | None = None) -> None:
        """Look at `root`; nothing is read before it is asked for. `known` knows files that did not change since they were read."""
        self.root = root
        self._known = known
        self._kept: dict[str, bytes] = {}
        self._room = KEPT_TOTAL

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """All files, as `Tree.entries`."""
        return dict(sorted(self._walk("", _Ignored(self.root))))

    def _walk(self, directory: str, ignored: "_Ignored") -> Iterator[tuple[str, Entry]]:
        pending = [directory]
        while pending:
            current = pending.pop()
            with os.scandir(self.root / current) as found:
                for item in found:
                    path = f"{current}/{item.name}" if current else item.name
                    below = item.is_dir(follow_symlinks=False)
                    if item.name == ".git" or ignored(path, directory=below):
                        continue
                    if below and not Path(item.path, ".git").exists():
                        pending.append(path)
                    elif (entry := self._entry(path, item)) is not None:
                        yield path, entry

    def _entry(self, path: str, item: "os.DirEntry[str]") -> Entry | None:
        """Return the entry of one file; None for what git has no word for (sockets, devices)."""
        status = item.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            return Entry(oid=blob_id(os.fsencode(os.readlink(item.path))), mode=SYMLINK, size=status.st_size)  # noqa: PTH115 - a path costs more than the call
        if stat.S_ISDIR(status.st_mode):
            return Entry(oid="0" * 40, mode=SUBMODULE, size=0)
        if stat.S_ISREG(status.st_mode):
            mode = EXECUTABLE if status.st_mode & stat.S_IXUSR else REGULAR
            return Entry(oid=self._file_id(path, item.path, status), mode=mode, size=status.st_size)
        return None

    def _file_id(self, path: str, name: str, status: os.stat_result) -> str:
        oid = self._known.get(path, status) if self._known is not None else None
        if oid is None:
            oid = self._read_id(path, name, status.st_size)
            if self._known is not None:
                self._known.put(path, status, oid)
        return oid

    def _read_id(self, path: str, name: str, size: int) -> str:
        if size > min(KEPT_FILE, self._room):
            return _large_file_id(Path(name), size)
        with open(name, "rb", buffering=0) as stream:  # noqa: PTH123 - a path costs more than the call
            data = stream.readall()
        self._kept[path] = data
        self._room -= len(data)
        return blob_id(data)

    def read(self, path: str) -> bytes:
        """Return a file's bytes, as `Tree.read`; of a symlink, where it leads; of too large a file, a byte more than it may have."""
        entry = self.entries[path]
        if path in self._kept:
            return self._kept[path]
        if entry.mode == SUBMODULE:
            raise KeyError(path)
        where = self.root / path
        try:
            return os.fsencode(where.readlink()) if entry.mode == SYMLINK else _beginning(where)
        except OSError as error:
            raise KeyError(path) from error


class _Ignored:
    """Says of a path whether git would leave it out: ignored, and not tracked nevertheless."""

    def __init__(self, root: Path) -> None:
        found = pygit2.discover_repository(str(root))
        self._repository = pygit2.Repository(found) if found else None
        workdir = self._repository.workdir if self._repository else None
        if self._repository is None or workdir is None:
            self._repository = None
            return
        inside = root.resolve().relative_to(Path(workdir).resolve()).as_posix()
        self._prefix = "" if inside == "." else inside + "/"
        self._index = self._repository.index

    @cached_property
    def _tracked_above(self) -> frozenset[str]:
        """The directories of all that is tracked: listed only where one of them would be ignored, since that takes long."""
        return frozenset(parent for item in self._index for parent in parents(item.path))

    def __call__(self, path: str, *, directory: bool) -> bool:
        """Return whether git would leave `path` out."""
        if self._repository is None:
            return False
        path = self._prefix + path
        if path in self._index or not self._repository.path_is_ignored(path + "/" if directory else path):
            return False
        return not directory or path not in self._tracked_above


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(SIZE_LIMIT + 1)


def _large_file_id(path: Path, size: int) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def inspect_tree(
    tree: Tree,
    *,
    read_from: Collection[str] = ("tenants", "library", "policies"),
    only: Collection[str] | None = None,
    added: Collection[str] | None = None,
    names: Collection[str] | None = None,
) -> list[Finding]:
    """Return what is refused of a snapshot by name or kind of file, whatever its manifests say; rules are `manifest/<what>`.

    Size and LFS pointers are judged in those directories whose files are read (`read_from`); with `only`, these paths
    alone are looked at (those that changed since a snapshot that passed), and of these only the names of `added` ones are
    compared with all others, since a name that was there has been. `names` are the paths that count in this, where not all do.
    """
    entries = tree.entries
    if len(entries) > FILES_LIMIT:
        message = f"the repository has {len(entries)} files, more than {FILES_LIMIT}"
        return [_refused("too-many-files", message, "split the repository", "ordain.yaml")]
    findings = inspect_names(entries if names is None else names, only if added is None else added)
    read_roots = {directory.split("/", 1)[0] for directory in read_from}
    for path in entries if only is None else sorted(entries.keys() & set(only)):
        if kind := _kind_refused(path, entries[path]):
            findings.append(kind)
        elif path == "ordain.yaml" or path.split("/", 1)[0] in read_roots:
            findings.extend(_content_refused(tree, path, entries[path]))
    return findings


def _kind_refused(path: str, entry: Entry) -> Finding | None:
    if not path.isprintable() and (found := _UNFIT.search(path)):
        why = "is not UTF-8" if "\ud800" <= found[0] <= "\udfff" else "has control characters"
        return _refused("path", f"the path {printable(path)} {why}", "rename the file", path)
    if entry.mode == SYMLINK:
        message = "a symlink; it could lead out of the repository"
        return _refused("symlink", message, "put the file itself here, or use a component of library/", path)
    if entry.mode == SUBMODULE:
        message = "a submodule or nested repository; its files are not part of this commit"
        return _refused("submodule", message, "put the files themselves here", path)
    return None


def _content_refused(tree: Tree, path: str, entry: Entry) -> Iterator[Finding]:
    if entry.size > SIZE_LIMIT:
        message = f"{entry.size} bytes, more than the {SIZE_LIMIT} that a file may have"
        yield _refused("size", message, "split the file, or make large content an artifact", path)
    elif entry.size <= LFS_POINTER_LIMIT and tree.read(path).startswith(_LFS_START):
        message = "a Git LFS pointer; what it stands for is not in git"
        yield _refused("lfs-pointer", message, "commit the file itself, or make it an artifact", path)


def inspect_names(paths: Collection[str], added: Collection[str] | None) -> list[Finding]:
    """Return what is refused of names that differ only in case: the `added` ones among these paths, None for all (see `clashes`)."""
    return [_clashing(one) for one in clashes(paths, added)]


def _clashing(clash: Clash) -> Finding:
    message = f"{clash.name!r} and {clash.other!r} differ only in case, and are one file on some machines"
    return _refused("case-clash", message, "rename one of them", clash.files[0], also=clash.files[1:])


def _refused(what: str, message: str, remedy: str, path: str, *, also: Sequence[str] = ()) -> Finding:
    return Finding(
        action="deny",
        rule=f"manifest/{what}",
        code=f"manifest/{what}",
        message=message,
        remedy=remedy,
        place=Place(file=path, line=1, column=1),
        also=tuple(Place(file=one, line=1, column=1) for one in also),
        scope="across" if what == "case-clash" else "file",
    )
