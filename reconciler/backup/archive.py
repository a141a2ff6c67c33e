"""The file of a backup: a tar of plain files under Zstandard, and last in it the manifest with the digest of each.

It is read twice. The first reading writes nothing and holds all to the manifest, so that a damaged file, a short one, or one with more in
it than a backup has, is refused as a whole. Headers are read one by one and nothing but plain ones is understood: no links, no devices,
no extended names, so that what a header can ask for is bounded.

Nobody signs it: it holds keys, so whoever may write it has them.
"""

import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from agent.protocol import codec
from agent.protocol.errors import InputError, MalformedError
from agent.protocol.state import Struct

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = 1
MANIFEST = "manifest.json"
LONG = "long/"
"""Where a file stands whose name does not fit into a plain header: by the digest of the name, which the manifest has."""
BLOCK = tarfile.BLOCKSIZE
PIECE = 1024 * 1024
"""Bytes that are read and written at a time."""
MANIFEST_LIMIT = 512 * 1024 * 1024
"""Bytes of the manifest: what three million files need."""
USTAR_LIMIT = 8 * 1024**3 - 1
"""Bytes that a plain header can say; a registry may have more, and GNU's form says it."""


class File(Struct):
    """A file in the backup: `path` says what it is of, as `store/trust/shop/1.root.json`."""

    path: str
    size: int
    sha256: str


class Manifest(Struct):
    """What a backup holds, and of what: `store` says how much of the store, `elsewhere` names keys that are not files, so not here."""

    format: int
    made_at: str
    program: str
    host: str
    store: str
    registry: str
    elsewhere: list[str] = []
    files: dict[str, File] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file that goes into a backup; `chunks` have `size` bytes together, else it is none any more."""

    path: str
    size: int
    chunks: Iterable[bytes]


def packed(contents: Iterable[Content], manifest: Callable[[dict[str, File]], Manifest]) -> Iterator[bytes]:
    """Yield the bytes of a backup; `manifest` is asked at the end, with what went in."""
    compressor = zstd.ZstdCompressor(level=3)
    files: dict[str, File] = {}
    for content in contents:
        name, digest, size = _name(content), sha256(), 0
        yield compressor.compress(_header(name, content.size))
        for chunk in content.chunks:
            digest.update(chunk)
            size += len(chunk)
            yield compressor.compress(chunk)
        if size != content.size:
            message = f"{content.path}: it had {content.size} bytes and now has {size}; run the backup again"
            raise MalformedError(message)
        yield compressor.compress(bytes(-size % BLOCK))
        files[name] = File(path=content.path, size=size, sha256=digest.hexdigest())
    data = codec.canonical(manifest(files))
    yield compressor.compress(_header(MANIFEST, len(data)) + data + bytes(-len(data) % BLOCK + 2 * BLOCK))
    yield compressor.flush()


def verified(file: Path) -> Manifest:
    """Read a backup through and return its manifest; nothing is written.

    Raises:
        InputError: it can't be read.
        MalformedError: it is damaged, ends too soon, or is no backup.
    """
    found: dict[str, tuple[int, str]] = {}
    manifest: bytes | None = None
    for name, size, chunks in _entries(file):
        if manifest is not None:
            _damaged(file, "there is something after its manifest")
        if name == MANIFEST:
            manifest = b"".join(chunks) if size <= MANIFEST_LIMIT else _damaged(file, "its manifest is too large")
            continue
        digest = sha256()
        for chunk in chunks:
            digest.update(chunk)
        if name in found:
            _damaged(file, f"{name} stands in it twice")
        found[name] = (size, digest.hexdigest())
    if manifest is None:
        _damaged(file, "it has no manifest")
    read = codec.decode(manifest, Manifest, what=f"manifest of {file}", limit=MANIFEST_LIMIT)
    if read.format != FORMAT:
        message = f"{file}: a backup of format {read.format}, and this ordain reads {FORMAT}; use the ordain that made it ({read.program})"
        raise InputError(message)
    if found != {name: (one.size, one.sha256) for name, one in read.files.items()}:
        _damaged(file, "what it holds is not what its manifest says")
    return read


def contents(file: Path, manifest: Manifest) -> Iterator[Content]:
    """Yield the files of a verified backup, in the order in which they were put in; chunks that are read to the end are verified again."""
    for name, size, chunks in _entries(file):
        known = manifest.files.get(name)
        if known is not None:
            yield Content(path=known.path, size=size, chunks=_held_to(file, known, chunks))


def _held_to(file: Path, known: File, chunks: Iterable[bytes]) -> Iterator[bytes]:
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != known.sha256:
        _damaged(file, f"{known.path} changed since it was verified")


def _name(content: Content) -> str:
    """Return how a file is called in the archive: as it is, where a plain header has the room."""
    try:
        tarfile.TarInfo(content.path).tobuf(tarfile.USTAR_FORMAT)
    except ValueError:
        return LONG + codec.sha256(content.path.encode())
    return content.path


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT if size <= USTAR_LIMIT else tarfile.GNU_FORMAT)


def _entries(file: Path) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Yield (name, size, content) of each entry; a content that was not read is passed over."""
    try:
        stream = file.open("rb")
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise InputError(message) from error
    with stream, zstd.ZstdFile(stream) as opened:
        yield from _walked(file, cast("BinaryIO", opened))


def _walked(file: Path, stream: BinaryIO) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    while any(header := _exactly(file, stream, BLOCK)):
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeError) as error:
            _damaged(file, str(error))
        if info.type != tarfile.REGTYPE or info.size < 0:
            _damaged(file, f"{info.name[:80]!r} is not a plain file")
        content = _pieces(file, stream, info.size)
        yield info.name, info.size, content
        for _ in content:
            pass
        _exactly(file, stream, -info.size % BLOCK)
    if any(_exactly(file, stream, BLOCK)) or _read(file, stream, 1):
        _damaged(file, "there is something after its end")


def _pieces(file: Path, stream: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = _read(file, stream, min(left, PIECE))
        if not piece:
            _damaged(file, "it ends too soon")
        left -= len(piece)
        yield piece


def _read(file: Path, stream: BinaryIO, most: int) -> bytes:
    try:
        return stream.read(most)
    except (zstd.ZstdError, EOFError) as error:
        _damaged(file, str(error))
    except OSError as error:
        message = f"{file}: {error.strerror or error}"
        raise InputError(message) from error


def _exactly(file: Path, stream: BinaryIO, size: int) -> bytes:
    return b"".join(_pieces(file, stream, size))


def _damaged(file: Path, why: str) -> NoReturn:
    message = f"{file}: not a whole backup: {why}; nothing of it is used, take another one"
    raise MalformedError(message)
