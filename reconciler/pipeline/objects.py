"""Git objects of the accepted state in the store, so that a force push or a new machine loses nothing.

An archive is a tar.gz with one member `<type>-<oid>` per object, without times or owners. The root tree and the
commits come last: where they are in a repository, all that they name is. Objects verify themselves: what doesn't
hash to its name is refused. The archives that lead to a state are read in the order
in which they were made; when there are many, one made with `old=None` takes the place of all.
"""

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator

import pygit2
from pygit2.enums import ObjectType

from agent.protocol.errors import MalformedError
from reconciler.pipeline.source.directories import FILES_LIMIT, missing_objects, read_object

TYPES = {"blob": ObjectType.BLOB, "commit": ObjectType.COMMIT, "tree": ObjectType.TREE}
UNPACKED_LIMIT = 1024 * 1024 * 1024
"""Bytes of an archive's content: as much as one fetch may bring."""
MEMBERS_LIMIT = 3 * FILES_LIMIT
"""Objects: a blob a file, its directories, and the commits."""
_CHUNK = 1024 * 1024
_MEMBER = re.compile(r"(blob|commit|tree)-([0-9a-f]{40})")


def export_objects(repository: pygit2.Repository, old: str | None, new: str, commits: Iterable[str] = ()) -> bytes | None:
    """Return an archive of what tree `new` has and tree `old` has not, with the named commit objects; None if that is nothing.

    Raises:
        MalformedError: an object is missing or damaged, or there are more than an archive may hold.
    """
    found = sorted(set(missing_objects(repository, old, new)), key=lambda item: (item == ("tree", new), item))
    members = [*found, *(("commit", oid) for oid in sorted(commits))]
    if not members:
        return None
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for kind, oid in members:
            data = read_object(repository, oid, TYPES[kind])
            entry = tarfile.TarInfo(f"{kind}-{oid}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), compresslevel=6, mtime=0)


def import_objects(repository: pygit2.Repository, data: bytes) -> int:
    """Put the objects of an archive into the repository; return how many it didn't have.

    Raises:
        MalformedError: not such an archive, too large, or an object that isn't what its name says.
    """
    written, inflated = 0, _Inflated(data)
    try:
        with tarfile.open(fileobj=inflated, mode="r|") as archive:
            for kind, oid, content in _members(archive):
                if oid not in repository:
                    repository.odb.write(TYPES[kind], content)
                    written += 1
        inflated.finish()
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, OverflowError, pygit2.GitError) as error:
        message = f"archive of git objects: {error}"
        raise MalformedError(message) from error
    return written


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, str, bytes]]:
    for count, entry in enumerate(archive):
        name = _MEMBER.fullmatch(entry.name)
        stream = archive.extractfile(entry) if entry.isreg() else None
        if name is None or stream is None or count >= MEMBERS_LIMIT:
            message = f"archive of git objects: member {entry.name[:80]!r} does not belong there"
            raise MalformedError(message)
        kind, oid, content = name[1], name[2], stream.read()
        if hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False).hexdigest() != oid:
            message = f"archive of git objects: {entry.name} holds another object"
            raise MalformedError(message)
        yield kind, oid, content


class _Inflated(io.RawIOBase):
    """The unpacked bytes of a gzip file, piece by piece, and no more than UNPACKED_LIMIT of them."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._inflate, self._left, self._total = zlib.decompressobj(wbits=31), data, 0

    def readable(self) -> bool:
        """Say so: yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes; raise `MalformedError` past the limit."""
        data = self._inflate.decompress(self._left, size if size > 0 else _CHUNK)
        self._left = self._inflate.unconsumed_tail
        self._total += len(data)
        if self._total > UNPACKED_LIMIT:
            message = f"archive of git objects: more than {UNPACKED_LIMIT} bytes when unpacked"
            raise MalformedError(message)
        return data

    def finish(self) -> None:
        """Raise `EOFError` unless all of it was there, and nothing more."""
        while self.read():
            pass
        if not self._inflate.eof or self._inflate.unused_data:
            message = "cut short, or with something behind its end"
            raise EOFError(message)
