"""Whole directories that a release owns: built, compared and removed by descriptor, never by path.

A tree is compared by its listing: a line for each entry, sorted, with kind, mode and digest or target. The listing that an
unpacked archive has is written down when it is unpacked; a tree with another listing has drifted. Times are not compared.
While a tree is built nobody but this user can enter it, and links are made last, so that no path leads through one.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.archives.entries import DEPTH_LIMIT, ENTRIES_LIMIT

FILE_MODE = 0o644
PROGRAM_MODE = 0o755
DIRECTORY_MODE = 0o755
ROUNDS_LIMIT = 10_000
"""How often a tree is looked through again for what was brought up, before somebody who keeps filling it wins."""
TOO_MANY = '["too many entries"]'
Owner = tuple[int | None, int | None]
_HERE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One entry of a tree: its path within it, and the open directory and name by which to reach it."""

    path: str
    info: os.stat_result
    descriptor: int
    name: str


class Builder:
    """Fills an empty directory that only this user can enter. Paths are relative, normal, and below no link."""

    def __init__(self, descriptor: int, owner: Owner) -> None:
        self._descriptor = descriptor
        self._owner = owner

    def directory(self, path: str) -> None:
        """Make a directory in one that is there."""
        os.mkdir(path, 0o700, dir_fd=self._descriptor)
        descriptor = os.open(path, _HERE, dir_fd=self._descriptor)
        try:
            self._give(descriptor, DIRECTORY_MODE)
        finally:
            os.close(descriptor)

    def file(self, path: str, content: Iterable[bytes], *, executable: bool) -> None:
        """Write a file."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600, dir_fd=self._descriptor), "wb") as stream:
            for chunk in content:
                stream.write(chunk)
            stream.flush()
            self._give(stream.fileno(), PROGRAM_MODE if executable else FILE_MODE)

    def link(self, path: str, existing: str) -> None:
        """Make a second name of a file that is there."""
        os.link(existing, path, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor, follow_symlinks=False)

    def symlink(self, path: str, target: str) -> None:
        """Make a symbolic link; where it leads was checked."""
        os.symlink(target, path, dir_fd=self._descriptor)
        uid, gid = self._owner
        if uid is not None or gid is not None:
            os.chown(path, _id(uid), _id(gid), dir_fd=self._descriptor, follow_symlinks=False)

    def sync(self) -> None:
        """Make everything survive a power loss: all files, then the names in all directories.

        In a pass of its own: by then the kernel has written most of it, and one commit of the file system serves many files.
        """
        for found in walk(self._descriptor):
            if not stat.S_ISLNK(found.info.st_mode):
                _sync(found)
        os.fsync(self._descriptor)

    def _give(self, descriptor: int, mode: int) -> None:
        uid, gid = self._owner
        if uid is not None or gid is not None:
            os.fchown(descriptor, _id(uid), _id(gid))
        os.fchmod(descriptor, mode)


def _sync(found: Found) -> None:
    descriptor = os.open(found.name, _READ, dir_fd=found.descriptor)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def walk(descriptor: int) -> Iterator[Found]:
    """Yield what is in a directory, sorted in each, a directory before what is in it; no link is followed.

    What is deeper than any release's tree is not entered.
    """
    opened: list[tuple[int, str, list[str]]] = [(os.dup(descriptor), "", _names(descriptor))]
    try:
        while opened:
            here, prefix, names = opened[-1]
            if not names:
                os.close(opened.pop()[0])
                continue
            name = names.pop()
            try:
                info = os.stat(name, dir_fd=here, follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since it was listed
            yield Found(path=prefix + name, info=info, descriptor=here, name=name)
            if stat.S_ISDIR(info.st_mode) and len(opened) <= DEPTH_LIMIT:
                inner = os.open(name, _HERE, dir_fd=here)
                opened.append((inner, f"{prefix}{name}/", _names(inner)))
    finally:
        for one, _, _ in opened:
            os.close(one)


def _names(descriptor: int) -> list[str]:
    """Return names in falling order, to be taken from the end."""
    return sorted(os.listdir(descriptor), reverse=True)


def fingerprint(descriptor: int) -> tuple[int, int]:
    """Return a number that changes whenever anything in a tree may have changed, and its latest change in nanoseconds."""
    total, latest = hashlib.sha256(), 0
    for count, found in enumerate(walk(descriptor)):
        info = found.info
        said = (found.path, info.st_mode, info.st_uid, info.st_gid, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        total.update(repr(said).encode())
        latest = max(latest, info.st_mtime_ns, info.st_ctime_ns)
        if count > ENTRIES_LIMIT:
            break
    return int.from_bytes(total.digest(), "big"), latest


def listing(descriptor: int, owner: Owner) -> list[str]:
    """Return a tree's lines; an entry of another owner than it should have says so."""
    lines = []
    for count, found in enumerate(walk(descriptor)):
        if count > ENTRIES_LIMIT:
            return [TOO_MANY]
        lines.append(json.dumps([found.path, *_described(found), *_wrong_owner(found.info, owner)]))
    return sorted(lines)


def encoded(lines: Iterable[str]) -> bytes:
    """Return a listing as it is kept on disk; its SHA-256 is the tree's digest."""
    return "".join(f"{line}\n" for line in lines).encode()


def differing(expected: Iterable[str], actual: Iterable[str]) -> list[str]:
    """Return the paths within a tree at which two listings differ, sorted."""
    return sorted({path for line in {*expected} ^ {*actual} for path in _path(line)})


def _path(line: str) -> list[str]:
    """Return the path of a line, nothing of a line that was damaged on disk."""
    try:
        return [str(json.loads(line)[0])]
    except (ValueError, LookupError):
        return []


def _described(found: Found) -> tuple[str, ...]:
    info = found.info
    mode = f"{stat.S_IMODE(info.st_mode):04o}"
    if stat.S_ISREG(info.st_mode):
        return "file", mode, _digest(found)
    if stat.S_ISLNK(info.st_mode):
        return "symlink", os.readlink(found.name, dir_fd=found.descriptor)
    return ("directory", mode) if stat.S_ISDIR(info.st_mode) else ("other", mode)


def _digest(found: Found) -> str:
    descriptor = os.open(found.name, _READ, dir_fd=found.descriptor)
    with os.fdopen(descriptor, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _wrong_owner(info: os.stat_result, owner: Owner) -> tuple[str, ...]:
    uid, gid = owner
    right = (uid is None or uid == info.st_uid) and (gid is None or gid == info.st_gid)
    return () if right else (f"owner {info.st_uid}:{info.st_gid}",)


def remove(name: str, directory: int) -> None:
    """Remove whatever is called `name` in an open directory, with all that is in it; nothing there is no error.

    What lies too deep is brought up first, so that no depth that somebody made takes more than a few descriptors.
    """
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        top = os.open(name, _HERE, dir_fd=directory)
        try:
            os.fchmod(top, 0o700)
            for _ in range(ROUNDS_LIMIT):
                if not os.listdir(top):  # noqa: PTH208 - by descriptor, since a path could be swapped
                    break
                _empty(top, top, 0)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=directory)


def _empty(descriptor: int, top: int, depth: int) -> None:
    for name in os.listdir(descriptor):
        info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            os.unlink(name, dir_fd=descriptor)
            continue
        inner = os.open(name, _HERE, dir_fd=descriptor)
        try:
            os.fchmod(inner, 0o700)
            if depth < DEPTH_LIMIT:
                _empty(inner, top, depth + 1)
                os.rmdir(name, dir_fd=descriptor)
            else:
                os.rename(name, f".deep-{info.st_ino}", src_dir_fd=descriptor, dst_dir_fd=top)
        finally:
            os.close(inner)


def _id(value: int | None) -> int:
    return -1 if value is None else value
