"""Zip files, as far as release archives need them: stored and deflated entries, no encryption, no zip64, one disk.

The central directory counts; the local header before each content must agree with it about the name, since readers differ in
which of the two they believe. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from agent.archives.entries import ENTRIES_LIMIT, PATH_LIMIT, ArchiveError, Entry, plain_name, target_text

CHUNK = 256 * 1024
_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT_LIMIT = 0xFFFF
_ENCRYPTED, _UTF8 = 0x2041, 0x800
_STORED, _DEFLATED = 0, 8
_UNIX = 3
_ZIP64 = (0xFFFF, 0xFFFFFFFF)


def entries(stream: BinaryIO) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Yield (entry, content) in the order of the central directory; a content that was not read is passed over.

    Raises:
        ArchiveError: not such a zip file, damaged, or an entry that is neither file, directory nor link.
    """
    start, end, count = _directory(stream)
    place = start
    for _ in range(count):
        entry, content, place = _member(stream, place, end, start)
        yield entry, content
    if place != end:
        _refuse("a central directory with more in it than it says")


def _directory(stream: BinaryIO) -> tuple[int, int, int]:
    """Return where the central directory begins and ends, and how many entries it says it has."""
    size = stream.seek(0, 2)
    tail_start = max(0, size - _END.size - _COMMENT_LIMIT)
    stream.seek(tail_start)
    tail = stream.read(_END.size + _COMMENT_LIMIT)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < _END.size:
        _refuse("no zip file: its end is not where it should be")
    _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, found)
    if found + _END.size + comment != len(tail):
        _refuse("something after its end")
    if count in _ZIP64 or length in _ZIP64 or start in _ZIP64:
        _refuse("a zip64 file, which is not read; make it a tar.gz or tar.zst")
    end = tail_start + found
    if disk or first_disk or here != count or count > ENTRIES_LIMIT or start + length != end:
        _refuse("several disks, more entries than it may have, or something before its beginning")
    return start, end, count


def _member(stream: BinaryIO, place: int, end: int, contents_end: int) -> tuple[Entry, Iterator[bytes], int]:
    header = _exactly(stream, place, _CENTRAL.size)
    if place + _CENTRAL.size > end:
        _refuse("a central directory that ends too soon")
    magic, made, _, flags, method, _, _, crc, packed, size, named, extra, comment, disk, _, attributes, offset = _CENTRAL.unpack(header)
    after = place + _CENTRAL.size + named + extra + comment
    if magic != b"PK\1\2" or after > end or disk:
        _refuse("a central directory that is damaged")
    raw = _exactly(stream, place + _CENTRAL.size, named)
    if flags & _ENCRYPTED or method not in (_STORED, _DEFLATED) or (method == _STORED and packed != size):
        _refuse(f"{raw[:80]!r} is encrypted, or packed in a way that is not read (only stored and deflated are)")
    if not flags & _UTF8 and not raw.isascii():
        _refuse(f"the name {raw[:80]!r} is neither ASCII nor marked as UTF-8")
    begin = _content_start(stream, offset, raw)
    if size in _ZIP64 or packed in _ZIP64 or begin + packed > contents_end:
        _refuse(f"{raw[:80]!r} lies outside the file")
    content = _content(stream, begin, packed, method=method, size=size, crc=crc)
    mode = attributes >> 16 if made >> 8 == _UNIX else 0
    return _entry(raw, mode, size, content), content, after


def _entry(raw: bytes, mode: int, size: int, content: Iterator[bytes]) -> Entry:
    kind = stat.S_IFMT(mode)
    if raw.endswith(b"/") if kind in (0, stat.S_IFDIR) else False:
        if size:
            _refuse(f"{raw[:80]!r} is a directory and has content")
        return Entry(path=plain_name(raw, directory=True), kind="directory")
    if kind == stat.S_IFLNK:
        if size > PATH_LIMIT:
            _refuse(f"the link {raw[:80]!r} leads to {size} bytes")
        return Entry(path=plain_name(raw), kind="symlink", target=target_text(b"".join(content)))
    if kind not in (0, stat.S_IFREG):
        _refuse(f"{raw[:80]!r} is a device, pipe or socket")
    return Entry(path=plain_name(raw), kind="file", executable=bool(mode & 0o111), size=size)


def _content_start(stream: BinaryIO, offset: int, raw: bytes) -> int:
    magic, _, flags, _, _, _, _, _, _, named, extra = _LOCAL.unpack(_exactly(stream, offset, _LOCAL.size))
    if magic != b"PK\3\4" or flags & _ENCRYPTED or _exactly(stream, offset + _LOCAL.size, named) != raw:
        _refuse(f"{raw[:80]!r} is not where the central directory says, or has another name there")
    return offset + _LOCAL.size + int(named) + int(extra)


def _content(stream: BinaryIO, begin: int, packed: int, *, method: int, size: int, crc: int) -> Iterator[bytes]:
    """Yield an entry's content, and hold its size and checksum against what the central directory says."""
    total, checksum = 0, 0
    pieces = _raw(stream, begin, packed)
    for piece in _inflated(pieces) if method == _DEFLATED else pieces:
        total += len(piece)
        checksum = zlib.crc32(piece, checksum)
        if total > size:
            break
        yield piece
    if total != size or checksum != crc:
        _refuse("an entry whose size or checksum is not what the central directory says")


def _raw(stream: BinaryIO, begin: int, packed: int) -> Iterator[bytes]:
    while packed:
        piece = _exactly(stream, begin, min(CHUNK, packed))
        begin, packed = begin + len(piece), packed - len(piece)
        yield piece


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inner = zlib.decompressobj(wbits=-15)  # raw deflate
    try:
        for piece in pieces:
            yield inner.decompress(piece, CHUNK)
            while inner.unconsumed_tail:
                yield inner.decompress(inner.unconsumed_tail, CHUNK)
            if inner.eof:
                break
        while not inner.eof and (rest := inner.decompress(b"", CHUNK)):  # output may outlast the input
            yield rest
    except zlib.error as error:
        message = f"damaged: {error}"
        raise ArchiveError(message) from error
    if not inner.eof or inner.unused_data or next(pieces, None) is not None:
        _refuse("an entry whose compressed data is cut short or too long")


def _exactly(stream: BinaryIO, place: int, count: int) -> bytes:
    stream.seek(place)
    data = stream.read(count)
    if len(data) != count:
        _refuse("it ends in the middle of an entry")
    return data


def _refuse(what: str) -> NoReturn:
    raise ArchiveError(what)
