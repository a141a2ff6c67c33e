"""The ceremony of the certificate authority: where the root's key is, and from public keys alone, the intermediates are signed.

It is idempotent: what stands stays, and tenants may be added later. Other keys than those that stand need a generation of their own
(`following`), to which agents are moved in stages (`rotation`).
"""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from securesystemslib.signer import Key, SSlibKey

from agent.protocol.errors import InputError
from agent.protocol.identity import require_label
from reconciler.control.authority import carried, certificates
from reconciler.control.authority.certificates import Issuer
from reconciler.control.authority.generations import Certificates, read_certificate, read_generations
from reconciler.control.authority.signing import SCHEME, SigningKey
from reconciler.publication import layout, travel
from reconciler.publication.key_making import make_keys
from reconciler.publication.keys import AUTHORITY, AUTHORITY_ROOT, AUTHORITY_SERVER, KeyRing
from reconciler.publication.public_keys import NEXT, PublicKeys, read_any_public, read_public
from reconciler.publication.store import Store, open_store

DOMAIN = "ordain.internal"
"""The trust domain of an installation that names none: `internal` is nobody's on the internet."""

_Make = Callable[[], x509.Certificate]


def numbers(store: Certificates) -> list[int]:
    """Return the numbers of all generations that were begun, rising."""
    parts = {key.removeprefix(layout.AUTHORITY).partition("/")[0] for key in store.list(layout.AUTHORITY)}
    return sorted(int(part) for part in parts if part.isdecimal())


def found_authority(
    store: Certificates,
    ring: KeyRing,
    *,
    control: PublicKeys,
    tenants: Collection[str],
    domain: str = DOMAIN,
    installation: str = "",
    following: bool = False,
    now: datetime | None = None,
) -> list[str]:
    """Sign what is missing into the store; return the keys in it that are new.

    `ring` is the authority's zone; `control` are the control zone's public keys; `following` begins a generation.

    Raises:
        InputError: a public key is missing or of another kind, or what stands was made with other keys.
    """
    now = now or datetime.now(UTC)
    known = numbers(store)
    number = (known[-1] if known else 0) + following or 1
    key = SigningKey(ring.signers(AUTHORITY_ROOT)[0])
    created: list[str] = []

    def put(name: str, keys: list[ec.EllipticCurvePublicKey], make: _Make) -> x509.Certificate:
        certificate, new = _put(store, name, keys, make)
        created.extend([name] if new else [])
        return certificate

    def make_root() -> x509.Certificate:
        return certificates.make_root(key, installation=installation or domain, now=now, generation=number)

    root = Issuer(certificate=put(layout.authority(number, "root.pem"), [key.public_key()], make_root), key=key)
    for tenant in sorted(tenants):
        keys = _keys_of(control, f"{require_label(tenant, 'tenant')}/{AUTHORITY}", following=following)
        make = partial(certificates.make_intermediate, root, keys[0], domain=domain, tenant=tenant, now=now, generation=number)
        standing = certificates.domain_of(put(layout.tenant_authority(number, tenant), keys, make))
        if standing != domain:
            message = f"tenant {tenant} stands with trust domain {standing}, which hosts' names hold; a new generation can have another"
            raise InputError(message)
    keys = _keys_of(control, AUTHORITY_SERVER, following=following)
    put(
        layout.authority(number, "server.pem"),
        keys,
        partial(certificates.make_server_intermediate, root, keys[0], now=now, generation=number),
    )
    return created


def certify(
    ring: KeyRing,
    tenants: Collection[str],
    control: tuple[Path, ...],
    *,
    store_url: str | None,
    out: Path | None,
    domain: str,
    following: bool,
) -> list[str]:
    """Hold the ceremony for what a person typed: `control` is the file of the control zone's public keys; raises as `found_authority`.

    It goes into a store, or into the file `out`, for `ordain keys import`. Either way all of it is kept beside the root's key.
    """
    if re.fullmatch(r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?", domain) is None:
        message = f"{domain[:80]!r} is not a trust domain: a host name, such as fleet.example.com"
        raise InputError(message)
    public = read_any_public(control)["control"]
    place: Certificates = carried.kept(ring.directory) if store_url is None else open_store(store_url)
    created = found_authority(place, ring, control=public, tenants=tenants, domain=domain, following=following)
    data = carried.keep(ring.directory, place)
    if out is not None:
        travel.put(out, data)
    return created


def certified_keys(store: Store, ring: KeyRing, tenants: Collection[str]) -> dict[str, set[str]]:
    """Return, by role of the control zone's ring, the ids of the keys that are certified, where the ring's old key is none of them.

    So a key is retired only once no generation in the store is by it any more.
    """
    found: dict[str, set[str]] = {}
    generations = read_generations(store)
    for tenant in (None, *sorted(tenants)):
        role = f"{tenant}/{AUTHORITY}" if tenant else AUTHORITY_SERVER
        if not ring.has(role + NEXT):
            continue
        standing = [one.tenants.get(tenant) if tenant else one.server for one in generations]
        listed = {SSlibKey.from_crypto(one.public_key()).keyid for one in standing if one is not None}
        if ring.public(role).keyid not in listed:
            found[role] = listed
    return found


def development_authority(directory: Path, store: Store, tenants: Collection[str], *, domain: str = DOMAIN) -> None:
    """Make an authority for these tenants on one machine, all keys in a directory of key rings; change nothing where it exists."""
    ring = make_keys("authority", directory / "authority").ring
    control = make_keys("control", directory / "control", sorted(tenants)).ring
    public = read_public(control.directory / "public.json", zone="control")
    standing = numbers(store)
    missing = [one for one in tenants if not standing or store.size(layout.tenant_authority(standing[-1], one)) is None]
    if missing or not standing:
        found_authority(store, ring, control=public, tenants=missing, domain=domain, installation="development")


def _put(store: Certificates, name: str, keys: list[ec.EllipticCurvePublicKey], make: _Make) -> tuple[x509.Certificate, bool]:
    """Create a certificate, or return the one that stands; raise `InputError` if that is of none of these keys."""
    new = False
    if store.size(name) is None:
        new = store.create(name, make().public_bytes(Encoding.PEM))
    standing = read_certificate(store, name)
    if standing.public_key() not in keys:
        message = f"{name}: it stands with another key, and agents rely on it; begin a new generation with --next-generation"
        raise InputError(message)
    return standing, new


def _keys_of(control: PublicKeys, role: str, *, following: bool) -> list[ec.EllipticCurvePublicKey]:
    """Return the keys that a role has, first the one to sign for: a new generation is for the key that follows."""
    found = [_p256(key, role) for key in (control.key(role), control.newest(role))]
    return found[::-1] if following else found


def _p256(key: Key, role: str) -> ec.EllipticCurvePublicKey:
    public = load_pem_public_key(key.keyval["public"].encode()) if isinstance(key, SSlibKey) and key.scheme == SCHEME else None
    if not isinstance(public, ec.EllipticCurvePublicKey):
        message = f"the key {role} is {key.scheme}, and must be {SCHEME}: certificates are signed with it"
        raise InputError(message)
    return public
