"""Files that must survive a crash: written beside, fsynced, renamed, and the directory fsynced.

Both sides write through here, and nowhere else, whatever they rely on afterwards. A caller relies on what was there already as
well as on what it put, so a name that another process made is fsynced here too: that process may have died before it did so.

What is written beside is locked until it has its name. A process that is killed leaves it, unlocked, and `sweep` removes it at
the owner's next start.
"""

import contextlib
import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.protocol import faults

PLACES = ("durable:before-name", "durable:after-name")
"""Where a crash test may kill any process here."""
_BESIDE = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
"""Names of what is written beside, as `tempfile` makes them."""
_SETTLED_LIMIT = 65_536
"""Names that a process remembers to have settled, some 200 bytes each: one that it forgot costs an fsync more."""


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` survive a power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file that somebody else wrote survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path, *, mode: int = 0o755) -> None:
    """Create `directory` and its missing parents, each one's name fsynced in its parent."""
    if directory.is_dir():
        _settle(directory)
        return
    make_directory(directory.parent, mode=mode)
    directory.mkdir(mode=mode, exist_ok=True)
    sync_directory(directory.parent)
    _note_settled(directory)


_deferred = threading.local()


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Make the names that this thread puts in the block survive a power loss at its end, each directory fsynced once, and not before.

    For several files of which none is relied on until all are there. Contents are fsynced as ever, before they have a name. Where the
    block is left by an error, names stay as they are: whoever comes upon one fsyncs it (`create`) or puts another (`replace`).
    """
    if getattr(_deferred, "names", None) is not None:
        yield
        return
    _deferred.names = names = dict[Path, None]()
    try:
        yield
    finally:
        _deferred.names = None
    for directory in dict.fromkeys(path.parent for path in names):
        sync_directory(directory)
    for path in names:
        _note_settled(path)


def _sync_name(path: Path) -> None:
    """Make the name of a file survive a power loss: now, or at the end of the block of `together`."""
    names: dict[Path, None] | None = getattr(_deferred, "names", None)
    if names is None:
        sync_directory(path.parent)
        _note_settled(path)
    else:
        names[path] = None


_settled: dict[Path, None] = {}
"""Names that this process knows to be there for keeps, since it fsynced them itself."""


def _settle(path: Path) -> None:
    """Fsync a name that was there already, once a process; where we may not read the parent, none of ours made it."""
    if path not in _settled:
        with contextlib.suppress(PermissionError):
            sync_directory(path.parent)
        _note_settled(path)


def _note_settled(path: Path) -> None:
    if len(_settled) >= _SETTLED_LIMIT:
        _settled.clear()
    _settled[path] = None


def _open_beside(path: Path) -> tuple[int, Path]:
    """Return a new locked file beside `path`; one that a sweep took between its making and its lock is made again."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)


@contextlib.contextmanager
def _beside(path: Path, chunks: Iterable[bytes], mode: int, *, lasting: bool = True) -> Iterator[Path]:
    """Write what `chunks` yield beside `path`, and yield where; afterwards nothing is left there."""
    descriptor, beside = _open_beside(path)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
            stream.flush()
            os.fchmod(descriptor, mode)
            if lasting:
                os.fsync(descriptor)
            faults.reached("durable:before-name")
            yield beside
            faults.reached("durable:after-name")
    finally:
        beside.unlink(missing_ok=True)


def replace(path: Path, data: bytes, *, mode: int = 0o644, lasting: bool = True) -> None:
    """Put `data` at `path`: a reader, and a disk after a crash, has all of the old or of the new.

    Unless it is `lasting`, a power loss may leave the old, or a file without content: for what only people read and is soon written again.
    """
    make_directory(path.parent)
    with _beside(path, (data,), mode, lasting=lasting) as beside:
        beside.rename(path)
    if lasting:
        _sync_name(path)


def create(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Put `data` at `path` unless something is there; return whether it was put. What is there afterwards is there for keeps."""
    return create_from(path, (data,), mode=mode)


def create_from(path: Path, chunks: Iterable[bytes], *, mode: int = 0o644) -> bool:
    """Put what `chunks` yield at `path` unless something is there, as `create`. An error of theirs leaves nothing."""
    make_directory(path.parent)
    if path.exists():
        _settle(path)
        return False
    with _beside(path, chunks, mode) as beside:
        put = _linked(beside, path)
    _sync_name(path)
    return put


def _linked(beside: Path, path: Path) -> bool:
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    return True


def remove(path: Path) -> None:
    """Remove the file at `path`, if there is one, for keeps."""
    path.unlink(missing_ok=True)
    _settled.pop(path, None)  # what is made there next has a name of its own
    if path.parent.is_dir():
        sync_directory(path.parent)


def sweep(directory: Path, *, deep: bool = True) -> int:
    """Remove what writers that were killed left beside their files in `directory`, and below it if `deep`; return how many files.

    For the owner of a directory, at its start. What a living process is at is locked, and stays; so does what can't be removed.
    """
    swept = 0
    for place, directories, names in os.walk(directory):
        for name in filter(_BESIDE.fullmatch, names):
            with contextlib.suppress(OSError):  # gone by itself, at work, or not ours to remove: no reason not to start
                _remove_left(Path(place, name))
                swept += 1
        if not deep:
            directories.clear()
    return swept


def _remove_left(beside: Path) -> None:
    """Remove a file if nobody is at work on it; raises `OSError` otherwise."""
    descriptor = os.open(beside, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        beside.unlink()
    finally:
        os.close(descriptor)
