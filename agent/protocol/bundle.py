"""The bundle: the finished states of one fleet, by group and mode, in OPA's bundle layout.

A bundle's identity is the SHA-256 of its canonical `data.json`, never of its compressed bytes
(zlib and zlib-ng give different ones). A stock OPA can load it: `opa eval -b`.
https://www.openpolicyagent.org/docs/management-bundles
"""

import gzip
import io
import tarfile
import zlib

import msgspec

from agent.protocol import codec, duration
from agent.protocol.errors import MalformedError
from agent.protocol.state import State, Struct

FORMAT = 1
COMPRESSED_LIMIT = 32 * 1024 * 1024
"""Bytes of one bundle as it travels."""
DATA_LIMIT = 128 * 1024 * 1024
"""Bytes of `data.json`: 1,000 groups of 128 KiB each; stops decompression bombs."""
UNPACKED_LIMIT = DATA_LIMIT + 64 * 1024
"""Bytes of the archive: `data.json`, `.manifest`, headers and padding."""
GROUPS_LIMIT = 1000
MANIFEST_LIMIT = 4096


class Mode(Struct):
    """A variant that may be switched on at run time, for at most `at_most` (a duration: `4h`)."""

    name: str
    at_most: str
    state: State


class Group(Struct):
    """What one group's members hold: as a rule, and in each mode; modes stand in rising priority."""

    base: State
    modes: list[Mode] = []

    @property
    def limits(self) -> dict[str, int]:
        """For how many seconds each mode may be on, in rising priority; raises `MalformedError` for what is no length of time."""
        return {mode.name: duration.seconds(mode.at_most) for mode in self.modes}


class Bundle(Struct):
    """The content of a bundle; `fleet` is `<tenant>/<fleet>`."""

    format: int
    fleet: str
    groups: dict[str, Group]


class _Data(Struct):
    ordain: Bundle


def encode(bundle: Bundle) -> bytes:
    """Return the canonical `data.json` of a bundle; its SHA-256 is the bundle's digest."""
    return codec.canonical(_Data(ordain=bundle))


def decode(data: bytes, *, digest: str) -> Bundle:
    """Read a `data.json` that must have this digest.

    Raises:
        MalformedError: another digest, another format, or not a bundle.
    """
    if codec.sha256(data) != digest:
        message = f"bundle {digest}: data.json has another digest"
        raise MalformedError(message)
    bundle = codec.decode(data, _Data, what=f"bundle {digest}", limit=DATA_LIMIT).ordain
    if bundle.format != FORMAT:
        message = f"bundle {digest}: format {bundle.format} is not known here; upgrade ordain"
        raise MalformedError(message)
    if len(bundle.groups) > GROUPS_LIMIT:
        message = f"bundle {digest}: {len(bundle.groups)} groups, more than {GROUPS_LIMIT}"
        raise MalformedError(message)
    return bundle


def fits(data: bytes) -> bool:
    """Return whether hosts take a bundle of this `data.json`: what is written here must be readable there."""
    return len(data) <= DATA_LIMIT and (len(data) + MANIFEST_LIMIT <= COMPRESSED_LIMIT // 2 or len(pack(data)) <= COMPRESSED_LIMIT)


def target(fleet: str, digest: str) -> str:
    """Return the TUF target path of a bundle; `fleet` is the fleet's own name, without tenant."""
    return f"bundles/{fleet}-{digest}.tar.gz"


def pack(data: bytes) -> bytes:
    """Return the bundle file of a `data.json`, without times or owners in it."""
    manifest = codec.canonical({"revision": codec.sha256(data), "roots": ["ordain"]})
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in ((".manifest", manifest), ("data.json", data)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), compresslevel=6, mtime=0)


def unpack(packed: bytes, *, digest: str) -> Bundle:
    """Read a bundle file that must hold the `data.json` with this digest.

    Raises:
        MalformedError: too large, damaged, other members than a bundle has, or another digest.
    """
    if len(packed) > COMPRESSED_LIMIT:
        message = f"bundle {digest}: {len(packed)} bytes, more than {COMPRESSED_LIMIT}"
        raise MalformedError(message)
    inflate = zlib.decompressobj(wbits=31)
    try:
        raw = inflate.decompress(packed, UNPACKED_LIMIT)
        if not inflate.eof or inflate.unused_data:
            message = f"bundle {digest}: truncated, followed by something else, or more than {UNPACKED_LIMIT} bytes when unpacked"
            raise MalformedError(message)
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            entries = archive.getmembers()
            # Sparse entries count as regular files to tarfile, and may claim any size.
            plain = all(entry.type == tarfile.REGTYPE and not entry.issparse() for entry in entries)
            if not plain or [entry.name for entry in entries] != [".manifest", "data.json"]:
                message = f"bundle {digest}: must hold .manifest and data.json, in that order, and nothing else"
                raise MalformedError(message)
            manifest, data = (archive.extractfile(entry).read() for entry in entries)  # type: ignore[union-attr]
    except (zlib.error, tarfile.TarError, OSError, EOFError, ValueError) as error:
        message = f"bundle {digest}: {error}"
        raise MalformedError(message) from error
    stated = codec.decode(manifest, dict[str, msgspec.Raw | str | list[str]], what=f"bundle {digest} .manifest", limit=MANIFEST_LIMIT)
    if stated != {"revision": digest, "roots": ["ordain"]}:
        message = f"bundle {digest}: its .manifest names another revision or other roots"
        raise MalformedError(message)
    return decode(data, digest=digest)
