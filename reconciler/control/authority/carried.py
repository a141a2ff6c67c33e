"""Certificates of the authority in a file, from where the root's key is to the store: nothing but the file goes between the two.

The machine with the root's key keeps what it ever certified beside the key (`certified.json`). A root is signed once in the life of its
generation: signed again it would be another certificate, which no host believes. So the file always holds all of it, and may be
imported again and again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.protocol import codec, durable
from agent.protocol.errors import InputError, RefusedError
from agent.protocol.state import Struct
from reconciler.control.authority.generations import CERTIFICATE_LIMIT, Certificates, read_certificate, read_generations
from reconciler.publication import layout

FORMAT = 1
LIMIT = 64 * 1024 * 1024
"""Bytes of the file: 40,000 tenants, with about 1,000 bytes each."""
KEPT = "certified.json"
BEGINS = b'{"certificates":'
"""How the canonical bytes of such a file, and of no other that travels, begin."""


class Carried(Struct):
    """The file: certificates in PEM by their key in the store."""

    format: int
    certificates: dict[str, str]


class Shelf:
    """Certificates in memory, as a store has them; see `Certificates` for what each function does."""

    def __init__(self, certificates: Mapping[str, str]) -> None:
        self._known = {key: text.encode() for key, text in certificates.items()}

    def get(self, key: str) -> bytes | None:
        """Return what stands at `key`."""
        return self._known.get(key)

    def size(self, key: str) -> int | None:
        """Return the bytes of it."""
        return len(self._known[key]) if key in self._known else None

    def create(self, key: str, data: bytes) -> bool:
        """Put `data` at `key` unless something is there."""
        if key in self._known:
            return False
        self._known[key] = data
        return True

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys, sorted."""
        return iter(sorted(key for key in self._known if key.startswith(prefix)))

    def carried(self) -> bytes:
        """Return the file of all that is here."""
        return codec.canonical(Carried(format=FORMAT, certificates={key: data.decode() for key, data in self._known.items()}))


def kept(directory: Path) -> Shelf:
    """Return what was certified where a ring of the authority is; raises as `read` where that is damaged."""
    path = directory / KEPT
    return Shelf(read(path).certificates if path.is_file() else {})


def keep(directory: Path, certificates: Certificates) -> bytes:
    """Have `directory` hold the file of all these certificates, and return it."""
    found = {key: certificates.get(key) or b"" for key in certificates.list(layout.AUTHORITY)}
    data = Shelf({key: data.decode() for key, data in found.items()}).carried()
    durable.replace(directory / KEPT, data)
    return data


def read(path: Path) -> Carried:
    """Read the file; raise `InputError` where it can't be read, `MalformedError` if it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path}: {error.strerror}; it is what `ordain keys init --zone authority --out` wrote"
        raise InputError(message) from error
    found = codec.decode(data, Carried, what=str(path), limit=LIMIT)
    if found.format != FORMAT or any(len(text) > CERTIFICATE_LIMIT for text in found.certificates.values()):
        message = f"{path}: format {found.format}, and this ordain knows {FORMAT}, or no certificates; use the same version on all machines"
        raise InputError(message)
    return found


def accept(store: Certificates, carried: Carried) -> list[str]:
    """Put what a file holds into the store; return the keys in it that are new. A crash on the way is mended by doing it again.

    Raises:
        RefusedError: something in it that its root did not sign, or that is no certificate of an authority.
        InputError: the store has others in their place, which hosts rely on.
    """
    shelf = Shelf(carried.certificates)
    ordered = [key for one in read_generations(shelf) for key in _keys(one.number, one.tenants)]
    if set(ordered) != set(carried.certificates) or not ordered:
        odd = sorted(set(carried.certificates) - set(ordered))
        message = f"not a whole authority{f', but {odd[0][:100]!r}' if odd else ''}; nothing was taken over"
        raise RefusedError(message)
    for key in ordered:
        if store.size(key) is not None and read_certificate(store, key) != read_certificate(shelf, key):
            message = (
                f"{key}: another one stands there, which hosts rely on; nothing was taken over. Certify where the root's key and its "
                f"{KEPT} are, or begin a new generation with --next-generation"
            )
            raise InputError(message)
    return [key for key in ordered if store.create(key, shelf.get(key) or b"")]


def _keys(number: int, tenants: Mapping[str, object]) -> list[str]:
    """Return the keys of a generation in the order of writing: one counts once its last is there."""
    named = [layout.tenant_authority(number, tenant) for tenant in sorted(tenants)]
    return [layout.authority(number, "root.pem"), *named, layout.authority(number, "server.pem")]
