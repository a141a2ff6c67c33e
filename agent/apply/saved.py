"""What stood at a path, kept well enough to be put back: content, owner, mode, times and SELinux context.

A file is kept by a second name where file systems allow, since a switch replaces names and never writes into a file;
else by a copy. Two places keep such images: `preimages` for the length of one transaction, and `originals` for what
was at a path before ordain came, for as long as it manages that path.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from agent.disk import read_optional
from agent.host import CHUNK, Host, Observed
from agent.protocol import codec, durable
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct

FORMAT = 1
CROSS_DEVICE = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES)


class Saved(Struct):
    """One image. `blob` names the file that holds the content; without one only attributes are put back."""

    kind: Literal["absent", "file", "directory", "symlink"]
    mode: int = 0
    uid: int = 0
    gid: int = 0
    modified: int = 0
    target: str = ""
    context: str | None = None
    blob: str | None = None


class Index(Struct):
    """Path → what stood there before ordain came; a path where nothing stood has an entry that says so.

    `trees` are the paths at which ordain put an unpacked artifact: there, and nowhere else, a directory's content is its own.
    """

    format: int = FORMAT
    paths: dict[str, Saved] = {}
    trees: list[str] = []


def describe(seen: Observed, *, blob: str | None = None) -> Saved:
    """Return the image of what was seen; `blob` is where its content will lie."""
    if seen.kind == "other" or seen.kind == "tree":  # noqa: PLR1714 - mypy follows this
        message = "a device, pipe or socket can't be kept, and a tree is put aside as a whole"
        raise MalformedError(message)
    return Saved(
        kind=seen.kind,
        mode=seen.mode,
        uid=seen.uid,
        gid=seen.gid,
        modified=seen.modified,
        target=seen.target,
        context=seen.context.hex() if seen.context else None,
        blob=blob,
    )


def keep_content(host: Host, path: str, destination: Path, *, stays: bool = False) -> None:
    """Keep the content of the file at `path`, fsynced but for its name.

    A file that `stays` where it is is copied: a second name would follow whatever is written into it later.
    """
    destination.unlink(missing_ok=True)
    if stays or not _named_twice(host, path, destination):
        with os.fdopen(os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
            for chunk in host.read(path):
                stream.write(chunk)
    durable.sync_file(destination)


def _named_twice(host: Host, path: str, destination: Path) -> bool:
    try:
        host.keep(path, destination)
    except OSError as error:
        if error.errno not in CROSS_DEVICE:
            raise
        return False
    return True


def put_back(host: Host, path: str, saved: Saved, blobs: Path, *, beside: str) -> None:
    """Make `path` what the image says, by way of the free path `beside`; may be repeated after a crash.

    A directory that others have filled meanwhile stays: what ordain did not put there is not its to remove. Where others have
    removed the directory above, nothing is put back: a crash must not end in an agent that can never go on.
    """
    seen = host.observe(path)
    if seen.parent_missing or (seen.kind == "directory" and saved.kind != "directory" and not host.remove_directory(path)):
        return
    if saved.kind == "absent":
        if seen.kind != "directory":
            host.remove(path)
    elif saved.kind == "directory":
        _directory(host, path, saved, seen)
    else:
        _leaf(host, path, saved, blobs, beside)


def _directory(host: Host, path: str, saved: Saved, seen: Observed) -> None:
    owner = _owner(saved)
    if seen.kind not in ("absent", "directory"):
        host.remove(path)
    if seen.kind == "directory":
        host.set_attributes(path, mode=saved.mode, owner=owner)
    else:
        host.make_directory(path, mode=saved.mode, owner=owner)


def _leaf(host: Host, path: str, saved: Saved, blobs: Path, beside: str) -> None:
    owner = _owner(saved)
    if saved.kind == "file" and saved.blob is None:
        with contextlib.suppress(FileNotFoundError):
            host.set_attributes(path, mode=saved.mode, owner=owner)
        return
    stage(host, saved, blobs, beside)
    host.rename(beside, path)
    host.remove(beside)  # renaming one name of a file over another of the same file does nothing


def stage(host: Host, saved: Saved, blobs: Path, beside: str) -> None:
    """Put the file or link that the image holds at `beside`."""
    owner = _owner(saved)
    host.remove(beside)
    if saved.kind == "symlink":
        host.symlink(beside, saved.target, owner=owner)
        return
    blob = blobs / str(saved.blob)
    try:
        host.link(blob, beside)
        host.set_attributes(beside, mode=saved.mode, owner=owner)
    except OSError as error:
        if error.errno not in CROSS_DEVICE:
            raise
        host.remove(beside)
        context = bytes.fromhex(saved.context) if saved.context else None
        host.stage(beside, _chunks(blob), mode=saved.mode, owner=owner, context=context)
        host.set_modified(beside, saved.modified)


def _owner(saved: Saved) -> tuple[int | None, int | None]:
    """Return the owner to give back; one that this user can't give is left, since the content matters more."""
    if os.geteuid() == 0:
        return saved.uid, saved.gid
    return None, saved.gid if saved.gid in os.getgroups() else None


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


class Originals:
    """What stood at managed paths before ordain came. An entry is made when a path is taken over and goes when it is let go."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._index = directory / "index.json"

    def read(self) -> dict[str, Saved]:
        """Return path → image."""
        return self._read().paths

    def trees(self) -> frozenset[str]:
        """Return the managed paths at which ordain holds a tree."""
        index = self._read()
        return frozenset(index.trees) & index.paths.keys()

    def hold(self, paths: Iterable[str], *, release: Iterable[str] = ()) -> None:
        """Note that there are trees at `paths` and no longer at those to `release`."""
        index = self._read()
        trees = sorted({*index.trees, *paths} - {*release})
        if trees != index.trees:
            self._write(index.paths, trees)

    def add(self, host: Host, taken: dict[str, Observed], *, moving: frozenset[str]) -> None:
        """Keep what stands at paths that are about to be managed; those known already keep their entry.

        `moving` are the paths at which something else will stand; what is at the others stays in use.
        """
        known = self.read()
        added = {path: seen for path, seen in taken.items() if path not in known}
        if not added:
            return
        durable.make_directory(self.directory, mode=0o700)
        for path, seen in added.items():
            blob = codec.sha256(path.encode()) if seen.kind == "file" else None
            if blob is not None:
                keep_content(host, path, self.directory / blob, stays=path not in moving)
            known[path] = describe(seen, blob=blob)
        durable.sync_directory(self.directory)
        self._write(known, self._read().trees)

    def drop(self, paths: list[str]) -> None:
        """Forget paths that were let go, or never taken over after all."""
        known = self.read()
        gone = [known.pop(path) for path in paths if path in known]
        if not gone:
            return
        self._write(known, [path for path in self._read().trees if path in known])
        for saved in gone:
            if saved.blob is not None:
                (self.directory / saved.blob).unlink(missing_ok=True)

    def _read(self) -> Index:
        return read_optional(self._index, Index) or Index()

    def _write(self, paths: dict[str, Saved], trees: list[str]) -> None:
        durable.replace(self._index, codec.canonical(Index(paths=paths, trees=trees)), mode=0o600)


def empty(directory: Path) -> None:
    """Remove a directory of images and all in it."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
