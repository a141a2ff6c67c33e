"""Everything the agent does to managed paths, confined to one root directory.

No path is handed to the kernel as a whole: each component is opened from the one before without following symbolic
links. A link among the parents is followed here, by hand: if it leads out of the root, or belongs to a user who is
neither root nor the agent's own, the path is refused. So `/bin` → `usr/bin` works, and a link that a bundle or a
local user planted does not move what the agent writes to somewhere else. The last component is never followed.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.archives import trees
from agent.protocol.errors import RefusedError

Kind = Literal["absent", "file", "directory", "tree", "symlink", "other"]
"""A tree is a directory whose content a release owns as a whole; only those who know the releases can tell."""
LINKS_LIMIT = 40
"""Symbolic links followed in one path: the kernel's own bound."""
CHUNK = 1024 * 1024
STAGED_PREFIX = ".ordain-"
"""How names begin that the agent puts beside targets; hidden, so that `conf.d/*` does not read them."""
CONTEXT = "security.selinux"


class EscapeError(RefusedError):
    """A path that leads out of the root, or through a link that can't be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What stands at a path now; `fingerprint` changes whenever the content may have changed."""

    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    modified: int = 0
    target: str = ""
    fingerprint: tuple[int, ...] = ()
    context: bytes | None = None
    parent_missing: bool = False
    digest: str | None = None
    """SHA-256 of a file's content, or of a tree's listing, where somebody asked for it."""

    @property
    def inode(self) -> int:
        """The number of what stands there on its file system, 0 where nothing does."""
        return self.fingerprint[1] if self.fingerprint else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Where a path lies: the open directory, the directories still missing below it, and the last name."""

    descriptor: int
    parents: tuple[str, ...]
    missing: tuple[str, ...]
    name: str

    @property
    def resolved(self) -> str:
        """The path with all links among its parents resolved."""
        return "/" + "/".join([*self.parents, *self.missing, self.name])

    @property
    def nearest(self) -> str:
        """The directory that is there and will hold, perhaps further down, the path."""
        return "/" + "/".join(self.parents)


def require_path(path: str) -> tuple[str, ...]:
    """Return the components of an absolute, normal path; raise `RefusedError` for any other."""
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") or "\0" in part for part in parts[1:]):  # noqa: PLR2004 - "" and one name
        message = f"{path!r} is not an absolute, normal path"
        raise RefusedError(message)
    return tuple(parts[1:])


class Host:
    """One root directory and what may be done below it. All paths are absolute within the root."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._trusted = {0, os.geteuid()}

    @property
    def is_whole_machine(self) -> bool:
        """Whether the root is `/`: only then must owners exist and be settable."""
        return self.root == Path("/")

    # Finding

    @contextlib.contextmanager
    def locate(self, path: str, *, replacing: frozenset[str] = frozenset()) -> Iterator[Located]:
        """Open the directory that holds `path`, or the nearest one above it; a file in the way counts as missing.

        So does a link whose place is in `replacing`: a directory is about to take it. With a `/` at its end, so does a
        directory: it is a tree that goes.

        Raises:
            EscapeError: a link among the parents leads out of the root or can't be trusted.
            RefusedError: not a normal path.
        """
        *above, name = require_path(path)
        with contextlib.ExitStack() as opened:
            walk = _Walk(self, path, opened, replacing)
            missing = walk.descend(above)
            yield Located(descriptor=walk.descriptor, parents=tuple(walk.names), missing=missing, name=name)

    def resolve(self, path: str, *, replacing: frozenset[str] = frozenset()) -> str:
        """Return `path` with the links among its parents resolved."""
        with self.locate(path, replacing=replacing) as place:
            return place.resolved

    def outside(self, path: str) -> Path:
        """Return where a path within the root lies on the machine, for messages and check commands."""
        return self.root / path.lstrip("/")

    # Looking

    def observe(self, path: str, *, replacing: frozenset[str] = frozenset()) -> Observed:
        """Return what stands at `path`, without reading a file's content."""
        with self.locate(path, replacing=replacing) as place:
            if place.missing:
                return Observed(kind="absent", parent_missing=True)
            try:
                info = os.stat(place.name, dir_fd=place.descriptor, follow_symlinks=False)
            except FileNotFoundError:
                return Observed(kind="absent")
            kind = _kind(info.st_mode)
            return Observed(
                kind=kind,
                mode=stat.S_IMODE(info.st_mode),
                uid=info.st_uid,
                gid=info.st_gid,
                size=info.st_size,
                modified=info.st_mtime_ns,
                target=os.readlink(place.name, dir_fd=place.descriptor) if kind == "symlink" else "",
                fingerprint=(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns),
                context=_context(place),
            )

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the content of the regular file at `path`."""
        with self.locate(path) as place:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(place.name, flags, dir_fd=place.descriptor), "rb") as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    message = f"{path} is not a regular file"
                    raise RefusedError(message)
                while chunk := stream.read(CHUNK):
                    yield chunk

    def digest(self, path: str) -> str:
        """Return the SHA-256 of the file at `path`."""
        total = hashlib.sha256()
        for chunk in self.read(path):
            total.update(chunk)
        return total.hexdigest()

    def entries(self, path: str) -> list[str]:
        """Return the names in the directory at `path`."""
        with self.locate(path) as place:
            descriptor = os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place.descriptor)
            try:
                return sorted(os.listdir(descriptor))  # noqa: PTH208 - by descriptor, since a path could be swapped
            finally:
                os.close(descriptor)

    # Changing

    def stage(self, path: str, chunks: Iterable[bytes], *, mode: int, owner: tuple[int | None, int | None], context: bytes | None) -> None:
        """Write a new file at `path`, whose directory must exist, with everything in place, and fsync it."""
        with self._there(path) as place:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(place.name, flags, 0o600, dir_fd=place.descriptor), "wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
                stream.flush()
                _own(stream.fileno(), owner)
                os.fchmod(stream.fileno(), mode)
                _set_context(place, context)
                os.fsync(stream.fileno())

    def link(self, source: Path, path: str) -> None:
        """Make `path` another name of the file `source` outside the root; raises `OSError` across file systems."""
        with self._there(path) as place:
            os.link(source, place.name, dst_dir_fd=place.descriptor, follow_symlinks=False)

    def keep(self, path: str, destination: Path) -> None:
        """Make `destination`, outside the root, another name of the file at `path`."""
        with self._there(path) as place:
            os.link(place.name, destination, src_dir_fd=place.descriptor, follow_symlinks=False)

    def symlink(self, path: str, target: str, *, owner: tuple[int | None, int | None]) -> None:
        """Make a symbolic link at `path`; its target is text and is not looked at."""
        with self._there(path) as place:
            os.symlink(target, place.name, dir_fd=place.descriptor)
            uid, gid = owner
            if uid is not None or gid is not None:
                os.chown(place.name, _id(uid), _id(gid), dir_fd=place.descriptor, follow_symlinks=False)

    def rename(self, source: str, path: str) -> None:
        """Move `source` over `path`."""
        with self._there(source) as old, self._there(path) as new:
            os.rename(old.name, new.name, src_dir_fd=old.descriptor, dst_dir_fd=new.descriptor)

    def make_directory(self, path: str, *, mode: int, owner: tuple[int | None, int | None]) -> None:
        """Make the directory `path`, in one that exists."""
        with self._there(path) as place:
            os.mkdir(place.name, 0o700, dir_fd=place.descriptor)
        self.set_attributes(path, mode=mode, owner=owner)

    def set_attributes(self, path: str, *, mode: int, owner: tuple[int | None, int | None]) -> None:
        """Give the file or directory at `path` this owner and mode; a link is refused, never followed."""
        with self._there(path) as place:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(place.name, flags, dir_fd=place.descriptor)
            try:
                _own(descriptor, owner)
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def set_modified(self, path: str, nanoseconds: int) -> None:
        """Give the file at `path` this time of modification."""
        with self._there(path) as place:
            os.utime(place.name, ns=(nanoseconds, nanoseconds), dir_fd=place.descriptor, follow_symlinks=False)

    def remove(self, path: str) -> None:
        """Remove the file or link at `path`; one that is not there is no error."""
        with self.locate(path) as place:
            if not place.missing:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(place.name, dir_fd=place.descriptor)

    def remove_directory(self, path: str) -> bool:
        """Remove the directory at `path` if it is empty; return whether it is gone."""
        with self.locate(path) as place:
            if place.missing:
                return True
            try:
                os.rmdir(place.name, dir_fd=place.descriptor)
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                    return False
                raise
            return True

    # Whole directories

    @contextlib.contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """Open the directory at `path`, which is no link."""
        with self._there(path) as place:
            descriptor = os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.descriptor)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def discard(self, path: str) -> None:
        """Remove what is at `path`, a directory with all that is in it; nothing there is no error."""
        with self.locate(path) as place:
            if not place.missing:
                trees.remove(place.name, place.descriptor)

    def sync(self, path: str) -> None:
        """Make the names in the directory that holds `path` survive a power loss."""
        with self.locate(path) as place:
            descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=place.descriptor)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def _there(self, path: str) -> Iterator[Located]:
        with self.locate(path) as place:
            if place.missing:
                raise FileNotFoundError(errno.ENOENT, "no such directory", str(self.outside(path).parent))
            yield place


class _Walk:
    """One descent through directories, following links by hand."""

    def __init__(self, host: Host, path: str, opened: contextlib.ExitStack, replacing: frozenset[str]) -> None:
        self._host = host
        self._replacing = replacing
        self._path = path
        self._opened = opened
        self._stack: list[tuple[str, int]] = []
        self._root = self._open(str(host.root), None)
        self._links = 0

    @property
    def descriptor(self) -> int:
        return self._stack[-1][1] if self._stack else self._root

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self._stack]

    def descend(self, parts: Iterable[str]) -> tuple[str, ...]:
        """Go down through `parts`; return those at the end that don't exist."""
        pending = deque(parts)
        while pending:
            part = pending.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                self._up()
                continue
            if f"/{'/'.join([*self.names, part])}/" in self._replacing:
                return self._absent([part, *pending])
            try:
                self._stack.append((part, self._open(part, self.descriptor)))
            except FileNotFoundError:
                return self._absent([part, *pending])
            except NotADirectoryError:
                target = self._follow(part)
                if target is None:
                    return self._absent([part, *pending])
                pending.extendleft(reversed(target))
        return ()

    def _open(self, name: str, directory: int | None) -> int:
        descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        self._opened.callback(os.close, descriptor)
        return descriptor

    def _up(self) -> None:
        if not self._stack:
            raise EscapeError(self._message("a link above it leads out of the root"))
        self._stack.pop()

    def _absent(self, rest: list[str]) -> tuple[str, ...]:
        kept = [part for part in rest if part not in ("", ".")]
        if ".." in kept:
            raise EscapeError(self._message("a link above it leads through a directory that does not exist"))
        return tuple(kept)

    def _follow(self, name: str) -> list[str] | None:
        """Return where the link `name` leads, None if it is no link, or none that will stay."""
        info = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        here = "/" + "/".join([*self.names, name])
        if not stat.S_ISLNK(info.st_mode) or here in self._replacing:
            return None
        if info.st_uid not in self._host._trusted:  # noqa: SLF001 - one mechanism in two classes
            raise EscapeError(self._message(f"the link {here} belongs to user {info.st_uid}, who could point it anywhere"))
        self._links += 1
        if self._links > LINKS_LIMIT:
            raise EscapeError(self._message("too many links above it"))
        target = os.readlink(name, dir_fd=self.descriptor)
        if not target.startswith("/"):
            return target.split("/")
        root = str(self._host.root).rstrip("/")
        if target != root and not target.startswith(root + "/"):
            raise EscapeError(self._message(f"the link {here} leads to {target}, out of the root {self._host.root}"))
        self._stack.clear()
        return target.removeprefix(root).split("/")

    def _message(self, why: str) -> str:
        return f"{self._path} is refused: {why}"


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def _id(value: int | None) -> int:
    return -1 if value is None else value


def _own(descriptor: int, owner: tuple[int | None, int | None]) -> None:
    uid, gid = owner
    info = os.fstat(descriptor)
    if (uid is not None and uid != info.st_uid) or (gid is not None and gid != info.st_gid):
        os.fchown(descriptor, _id(uid), _id(gid))


def _through(place: Located) -> str:
    return f"/proc/self/fd/{place.descriptor}/{place.name}"


def _context(place: Located) -> bytes | None:
    try:
        return os.getxattr(_through(place), CONTEXT, follow_symlinks=False)
    except OSError:  # no SELinux, no such attribute, no /proc: there is nothing to keep
        return None


def _set_context(place: Located, context: bytes | None) -> None:
    if context is not None:
        with contextlib.suppress(OSError):  # a policy may forbid relabelling; the default label then holds
            os.setxattr(_through(place), CONTEXT, context, follow_symlinks=False)
