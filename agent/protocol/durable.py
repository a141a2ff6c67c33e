"""Files that must survive a crash: written beside, fsynced, renamed, and the directory fsynced.

Both sides write through here, and nowhere else, whatever they rely on afterwards.
"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


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
        return
    make_directory(directory.parent, mode=mode)
    directory.mkdir(mode=mode, exist_ok=True)
    sync_directory(directory.parent)


def _write_beside(path: Path, chunks: Iterable[bytes], mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `path`: a reader, and a disk after a crash, has all of the old or of the new."""
    make_directory(path.parent)
    beside = _write_beside(path, (data,), mode)
    try:
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def create(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Put `data` at `path` unless something is there; return whether it was put."""
    return create_from(path, (data,), mode=mode)


def create_from(path: Path, chunks: Iterable[bytes], *, mode: int = 0o644) -> bool:
    """Put what `chunks` yield at `path` unless something is there; return whether it was put. An error of theirs leaves nothing."""
    make_directory(path.parent)
    if path.exists():
        return False
    beside = _write_beside(path, chunks, mode)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink(missing_ok=True)
    sync_directory(path.parent)
    return True


def remove(path: Path) -> None:
    """Remove the file at `path`, if there is one, for keeps."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_directory(path.parent)
