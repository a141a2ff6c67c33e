"""An archive into an empty directory: checked entry by entry before anything of it is written, links last of all.

Owners and modes are the release's and not the archive's: files are 0755 where the archive makes them executable for
anybody and 0644 else, directories are 0755. So no set-uid bit and nothing world-writable comes out of an archive.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

from agent.archives import tar, zipped
from agent.archives.entries import Catalogue, Entry, Form
from agent.archives.streams import Reader, gunzipped, unzstd
from agent.protocol.errors import RetryError


class Into(Protocol):
    """What takes an archive's entries in (`agent.archives.trees.Builder`); paths are relative and normal, and lie below no link."""

    def directory(self, path: str) -> None:
        """Make a directory in one that is there."""
        ...

    def file(self, path: str, content: Iterable[bytes], *, executable: bool) -> None:
        """Write a file, all of whose content must be read."""
        ...

    def link(self, path: str, existing: str) -> None:
        """Make a second name of a file that is there."""
        ...

    def symlink(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        ...

    def sync(self) -> None:
        """Make everything survive a power loss."""
        ...


def unpack(stream: BinaryIO, form: Form, into: Into, *, limit: int, stopping: Callable[[], bool] = lambda: False) -> None:
    """Unpack the archive in `stream`, whose files may have `limit` bytes together, and fsync all of it.

    It is read twice: an archive that is refused for a name, a link, a size or a number of entries has then written nothing,
    and a refusal costs a tenth of what files cost. The second reading checks all again.

    Raises:
        ArchiveError: damaged, too large, or with something in it that must not reach a host.
        RetryError: asked to stop.
        OSError: no space and the like.
    """
    for _ in _admitted(stream, form, limit, stopping):
        pass
    stream.seek(0)
    links: list[Entry] = []
    for entry, content, missing in _admitted(stream, form, limit, stopping):
        for above in missing:
            into.directory(above)
        if entry.kind == "file":
            into.file(entry.path, content, executable=entry.executable)
        elif entry.kind == "hardlink":
            into.link(entry.path, entry.target)
        elif entry.kind == "symlink":
            links.append(entry)
    for link in links:
        into.symlink(link.path, link.target)
    into.sync()


def _admitted(stream: BinaryIO, form: Form, limit: int, stopping: Callable[[], bool]) -> Iterator[tuple[Entry, Iterator[bytes], list[str]]]:
    """Yield (entry, content, directories to make for it, itself included); links are known to stay inside once it has ended."""
    catalogue = Catalogue(limit)
    for entry, content in _entries(stream, form):
        _require_going(stopping)
        if not entry.path:
            continue  # the archive's own top: the directory is there
        known = catalogue.knows(entry.path)
        missing = catalogue.admit(entry)
        if entry.kind == "directory" and not known:
            missing.append(entry.path)
        yield entry, _watched(content, stopping), missing
    catalogue.require_links_inside()


def _entries(stream: BinaryIO, form: Form) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    if form == "zip":
        return zipped.entries(stream)
    return tar.entries(Reader(gunzipped(stream) if form == "tar.gz" else unzstd(stream)))


def _watched(content: Iterable[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
    for piece in content:
        _require_going(stopping)
        yield piece


def _require_going(stopping: Callable[[], bool]) -> None:
    if stopping():
        message = "stopped while an archive was being unpacked"
        raise RetryError(message)
