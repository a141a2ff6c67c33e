"""Decompression that never holds more than a block, whatever the headers say, and knows a damaged stream from a short one."""

import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import BinaryIO, Protocol

from agent.archives.entries import ArchiveError
from agent.lean import ZSTD, needed

BLOCK = 256 * 1024
"""Bytes that are read, and at most come out, at a time."""


class _Decompressor(Protocol):
    """What gzip's and zstd's have in common, once gzip's leftover is handed back."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's decompressor, with the shape that zstd's has: what did not fit is kept inside."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)  # a gzip header and checksum, nothing else

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._inner.eof

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def gunzipped(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what a gzip stream holds, in blocks; several streams one after the other are one, as gzip has it.

    Raises:
        ArchiveError: damaged, cut short, or followed by something else.
    """
    return _decompressed(stream, _Gzip, zlib.error)


def unzstd(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what a Zstandard stream holds, in blocks. Windows over 128 MiB are refused, as the library does by itself.

    Raises:
        ArchiveError: damaged, cut short, or followed by something else.
    """
    zstd = _zstd()

    return _decompressed(stream, zstd.ZstdDecompressor, zstd.ZstdError)


def _zstd() -> ModuleType:
    """Return the library, loaded when it is needed: a megabyte that an agent at rest does without."""
    return needed(ZSTD)


def _decompressed(stream: BinaryIO, make: Callable[[], _Decompressor], damage: type[Exception]) -> Iterator[bytes]:
    decompressor, data, begun = make(), b"", False
    while True:
        if decompressor.eof:
            data = decompressor.unused_data
            decompressor, begun = make(), False
        if not data and (decompressor.needs_input or not begun):
            data = stream.read(BLOCK)
            if not data:
                break
        try:
            block = decompressor.decompress(data, BLOCK)
        except damage as error:
            message = f"damaged: {error}"
            raise ArchiveError(message) from error
        data, begun = b"", True
        if block:
            yield block
    if begun:
        message = "it ends in the middle of its compressed data"
        raise ArchiveError(message)


class Reader:
    """Exact reads from blocks; raises `ArchiveError` where they end too soon."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def some(self, most: int) -> bytes:
        """Return up to `most` bytes, none only at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = memoryview(block)
        taken, self._rest = self._rest[:most], self._rest[most:]
        return bytes(taken)

    def exactly(self, count: int) -> bytes:
        """Return `count` bytes; only small counts that were checked before."""
        return b"".join(self.pieces(count))

    def pieces(self, count: int) -> Iterator[bytes]:
        """Yield `count` bytes in pieces."""
        while count:
            piece = self.some(count)
            if not piece:
                message = "it ends in the middle of an entry"
                raise ArchiveError(message)
            count -= len(piece)
            yield piece
