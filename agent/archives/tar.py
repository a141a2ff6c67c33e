"""Tar, as far as release archives need it: ustar and old headers, pax and GNU long names; everything else is refused.

https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html and GNU tar's manual, "Basic Tar Format".
"""

from collections.abc import Iterator
from typing import NoReturn

from agent.archives.entries import ArchiveError, Entry, plain_name, target_text
from agent.archives.streams import Reader

BLOCK = 512
EXTENSION_LIMIT = 16 * 1024
"""Bytes of one extended header: some long names and their keys."""
EXTENSIONS_LIMIT = 64 * 1024 * 1024
"""Bytes of all of them: what 100,000 long names take."""
PADDING_LIMIT = 1024 * 1024
"""Bytes of zeros after the end: the largest record that tar writes."""
_FILE_TYPES = (b"0", b"\0", b"7")
_REFUSED_TYPES = {b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file"}
_LONG_TYPES = {b"L": "path", b"K": "linkpath"}
_STATED = ("path", "linkpath", "size")
"""What extended headers say that counts; times, owners and attributes don't."""


def entries(reader: Reader) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Yield (entry, content) in the archive's order; a content that was not read is passed over.

    Raises:
        ArchiveError: not tar, damaged, or an entry that is neither file, directory nor link.
    """
    stated: dict[str, bytes] = {}
    extended = 0
    while (header := _header(reader)) is not None:
        kind, size = header[156:157], _number(header[124:136])
        if kind in (b"x", b"g", *_LONG_TYPES):
            extended += size
            if size > EXTENSION_LIMIT or extended > EXTENSIONS_LIMIT:
                message = f"an extended header of {size} bytes"
                raise ArchiveError(message)
            data = reader.exactly(size)
            _pad(reader, size)
            stated |= _extension(kind, data)
            continue
        entry = _entry(header, kind, size, stated)
        stated = {}
        content = reader.pieces(entry.size)
        yield entry, content
        for _ in content:
            pass
        _pad(reader, entry.size)
    if stated:
        _refuse("an extended header that belongs to nothing")
    _require_end(reader)


def _header(reader: Reader) -> bytes | None:
    """Return the next header, None at the end of the archive."""
    header = reader.exactly(BLOCK)
    if not any(header):
        return None
    if not _has_checksum(header, _number(header[148:156])):
        _refuse("a header whose checksum is wrong: not tar, or damaged")
    return header


def _has_checksum(header: bytes, stated: int) -> bool:
    """Return whether a header's bytes add up, its own checksum counted as spaces; old writers added them as signed ones."""
    plain = header[:148] + b" " * 8 + header[156:]
    total = sum(plain)
    return stated == total or stated == total - 256 * sum(byte > 127 for byte in plain)  # noqa: PLR2004 - the second is rare, and slow


def _entry(header: bytes, kind: bytes, size: int, stated: dict[str, bytes]) -> Entry:
    name = stated.get("path") or _ustar_name(header)
    if "size" in stated:
        size = _decimal(stated["size"])
    if kind in _REFUSED_TYPES:
        _refuse(f"{name[:80]!r} is {_REFUSED_TYPES[kind]}")
    directory = kind == b"5" or (kind == b"\0" and name.endswith(b"/"))
    if kind in _FILE_TYPES and not directory:
        return Entry(path=plain_name(name), kind="file", executable=bool(_number(header[100:108]) & 0o111), size=size)
    if size:
        _refuse(f"{name[:80]!r} is no file and has content")
    if directory:
        return Entry(path=plain_name(name, directory=True), kind="directory")
    target = stated.get("linkpath") or _text(header[157:257])
    if kind == b"1":
        return Entry(path=plain_name(name), kind="hardlink", target=plain_name(target))
    if kind != b"2":
        _refuse(f"{name[:80]!r} is of the unknown type {kind!r}")
    return Entry(path=plain_name(name), kind="symlink", target=target_text(target))


def _ustar_name(header: bytes) -> bytes:
    name, prefix = _text(header[:100]), _text(header[345:500])
    is_posix = header[257:263] == b"ustar\0"  # GNU's own magic puts times where the prefix is
    return prefix + b"/" + name if is_posix and prefix else name


def _extension(kind: bytes, data: bytes) -> dict[str, bytes]:
    if kind in _LONG_TYPES:
        return {_LONG_TYPES[kind]: data.rstrip(b"\0")}
    records = dict(_records(data))
    if any(key.startswith("GNU.sparse") for key in records):
        _refuse("a sparse file")
    found = {key: records[key] for key in _STATED if key in records}
    if kind == b"g" and found:
        _refuse("a name or size for all entries in a global header")
    return found


def _records(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the records of a pax header: `<length> <key>=<value>\\n`, the length counting all of it."""
    while data:
        digits, space, _ = data[:8].partition(b" ")
        length = _decimal(digits) if space else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if length > len(data) or not equals or not value.endswith(b"\n"):
            _refuse("an extended header that is malformed")
        yield key.decode(errors="replace"), value[:-1]
        data = data[length:]


def _require_end(reader: Reader) -> None:
    """Read to the end of the compressed stream, so that its checksum counts, and accept nothing but zeros."""
    seen = 0
    while piece := reader.some(BLOCK):
        seen += len(piece)
        if any(piece) or seen > PADDING_LIMIT:
            _refuse("something after its end")


def _pad(reader: Reader, size: int) -> None:
    reader.exactly(-size % BLOCK)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """Return an octal number, or a large one in base 256, as GNU writes it."""
    if field[0] == 0x80:  # noqa: PLR2004 - the mark of a positive number in base 256
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text:
        return 0
    if not text.isdigit() or b"8" in text or b"9" in text:
        _refuse(f"a header with the number {text[:20]!r}: not tar, or damaged")
    return int(text, 8)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:  # noqa: PLR2004 - digits of a 64-bit number
        _refuse(f"an extended header with the number {text[:20]!r}")
    return int(text)


def _refuse(what: str) -> NoReturn:
    raise ArchiveError(what)
