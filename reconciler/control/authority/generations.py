"""What the ceremony signed: generations of the authority, each a root, an intermediate for servers and one for each tenant.

A generation is added beside those before it, and never changed, but for tenants that join later. Everything is public, and is verified
when it is read: an intermediate counts only if its generation's root signed it, for the tenant that its name in the store says.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from agent.protocol.errors import RefusedError
from reconciler.control.authority import certificates
from reconciler.publication import layout

CERTIFICATE_LIMIT = 16_384
"""Bytes of one certificate in PEM: ours have about 900."""


class Certificates(Protocol):
    """Where certificates stand: any store, or a file that is carried to one (`carried`)."""

    def get(self, key: str) -> bytes | None:
        """Return what stands at `key`, None if nothing does."""
        ...

    def size(self, key: str) -> int | None:
        """Return the bytes of it, None if nothing is there."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Put `data` at `key` unless something is there; return whether it was put."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, sorted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation: `server` signs what servers show, `tenants` agents' certificates, by tenant."""

    number: int
    root: x509.Certificate
    server: x509.Certificate
    tenants: Mapping[str, x509.Certificate]

    def tenant(self, name: str) -> x509.Certificate:
        """Return a tenant's intermediate; raise `RefusedError` if it has none."""
        found = self.tenants.get(name)
        if found is None:
            message = f"the certificate authority has nothing for tenant {name}: run `ordain keys init --zone authority --tenant {name}`"
            raise RefusedError(message)
        return found


def stamp_of(store: Certificates) -> tuple[str, ...]:
    """Return what changes when a certificate is added: cheap to ask for, since none is ever replaced."""
    return tuple(store.list(layout.AUTHORITY))


def read_generations(store: Certificates) -> list[Generation]:
    """Return all generations that are whole, rising; none before the first ceremony.

    Raises:
        RefusedError: a certificate that is none, or that its root did not sign.
    """
    keys = list(store.list(layout.AUTHORITY))
    numbers = sorted({int(part) for key in keys if (part := key.removeprefix(layout.AUTHORITY).partition("/")[0]).isdecimal()})
    found = (_read(store, number, keys) for number in numbers)
    return [generation for generation in found if generation is not None]


def _read(store: Certificates, number: int, keys: Iterable[str]) -> Generation | None:
    names = {key for key in keys if key.startswith(layout.authority(number))}
    root_key, server_key = layout.authority(number, "root.pem"), layout.authority(number, "server.pem")
    if not {root_key, server_key} <= names:
        return None  # a ceremony that is under way
    root = read_certificate(store, root_key)
    prefix = layout.authority(number, "tenants/")
    tenants = {}
    for key in sorted(name for name in names if name.startswith(prefix)):
        tenant = key.removeprefix(prefix).removesuffix(".pem")
        tenants[tenant] = _signed(store, key, root)
        if certificates.tenant_of(tenants[tenant]) != tenant:
            message = f"{key}: it is for tenant {certificates.tenant_of(tenants[tenant])!r}"
            raise RefusedError(message)
    return Generation(number=number, root=root, server=_signed(store, server_key, root), tenants=tenants)


def read_certificate(store: Certificates, key: str) -> x509.Certificate:
    """Return the certificate that stands at a key; raise `RefusedError` if it is none."""
    data = store.get(key) or b""
    try:
        return x509.load_pem_x509_certificate(data if len(data) <= CERTIFICATE_LIMIT else b"")
    except ValueError as error:
        message = f"{key}: not a certificate in PEM"
        raise RefusedError(message) from error


def _signed(store: Certificates, key: str, root: x509.Certificate) -> x509.Certificate:
    certificate = read_certificate(store, key)
    try:
        certificate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        message = f"{key}: the root of its generation did not sign it; repeat the ceremony (`ordain keys init --zone authority`)"
        raise RefusedError(message) from error
    return certificate
