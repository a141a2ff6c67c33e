"""Making key files, encrypting them, and retiring those that were rotated; only this changes what is in a key ring's directory.

A private key is never overwritten by another one, but by the one that has taken its place in the trust.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import CryptoSigner, HSMSigner, Key, SSlibKey

from agent.protocol import codec, durable
from agent.protocol.errors import InputError, OrdainError
from agent.protocol.identity import require_label
from reconciler.publication import public_keys
from reconciler.publication.keys import (
    AUTHORITY,
    AUTHORITY_ROOT,
    AUTHORITY_SERVER,
    CONTROL_TENANT_ROLES,
    ENCRYPTED,
    NO_SECRETS,
    OFFLINE_ROLES,
    PIPELINE_TENANT_ROLES,
    REPOSITORY,
    KeyRing,
)
from reconciler.publication.public_keys import NEXT, PublicKey, PublicKeys, Zone, read_any_public
from reconciler.publication.secret_files import KeySecrets, SecretFile

TOKEN = f"{HSMSigner.SCHEME}:"


def zone_roles(zone: Zone, tenants: Sequence[str]) -> list[str]:
    """Return the roles that a zone's ring has for these tenants."""
    if zone == "offline":
        return list(OFFLINE_ROLES)
    if zone == "authority":
        return [AUTHORITY_ROOT]
    per_tenant = PIPELINE_TENANT_ROLES if zone == "pipeline" else (*CONTROL_TENANT_ROLES, AUTHORITY)
    shared = [REPOSITORY] if zone == "pipeline" else [AUTHORITY_SERVER]
    return shared + [f"{require_label(tenant, 'tenant')}/{role}" for tenant in tenants for role in per_tenant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A ring after its keys were made: which roles are new, and the public half of all that it has."""

    ring: KeyRing
    created: tuple[str, ...]
    public: bytes


def make_keys(
    zone: Zone,
    directory: Path,
    tenants: Sequence[str] = (),
    *,
    following: Sequence[str] = (),
    uris: Mapping[str, str] | None = None,
    secrets: KeySecrets = NO_SECRETS,
) -> Made:
    """Make what a zone's ring lacks for these tenants, and `public.json`; keys that exist stay as they are.

    `following` are roles (`timestamp`, `root-2`) that get a key to be rotated to. Where `secrets` has a passphrase, new files are
    encrypted with it. What `uris` names is made elsewhere, by whoever runs that place.

    Raises:
        InputError: no such role, one of them has a following key already, or a key that is elsewhere can't be asked for its public half;
            or the directory is another zone's, whose keys would be taken for this one's.
    """
    ring = KeyRing(zone=zone, directory=directory, uris=uris or {}, secrets=secrets)
    _known(ring)
    wanted = zone_roles(zone, tenants)
    strange = sorted(slot for slot in ring.uris if slot.removesuffix(NEXT) not in wanted)
    if strange:
        message = f"the {zone} zone has no key {', '.join(strange)} for these tenants; it has {', '.join(wanted)}"
        raise InputError(message)
    slots = wanted + [slot for role in following for slot in _following(ring, role, wanted)]
    durable.make_directory(directory, mode=0o700)
    created = tuple(slot for slot in slots if slot not in ring.uris and _make_key(ring.path(slot), slot, secrets.passphrase))
    return Made(ring=ring, created=created, public=write_public(ring))


def _following(ring: KeyRing, role: str, wanted: Sequence[str]) -> list[str]:
    found = [one for one in wanted if one == role or one.endswith(f"/{role}")]
    if not found:
        message = f"the {ring.zone} zone has no key {role!r}; it has {', '.join(dict.fromkeys(one.rpartition('/')[2] for one in wanted))}"
        raise InputError(message)
    taken = [one for one in found if one + NEXT not in ring.uris and ring.path(one + NEXT).is_file()]
    if taken:
        message = f"{', '.join(taken)}: there is a key to rotate to already; rotate to it, then run `ordain keys retire`"
        raise InputError(message)
    return [one + NEXT for one in found]


def _make_key(path: Path, slot: str, passphrase: SecretFile | None) -> bool:
    if path.exists():
        return False
    durable.make_directory(path.parent, mode=0o700)
    made = CryptoSigner.generate_ecdsa() if certifies(slot) else CryptoSigner.generate_ed25519()
    return durable.create(path, _pem(made, passphrase), mode=0o600)


def certifies(slot: str) -> bool:
    """Return whether a key is the certificate authority's: P-256, which every TLS library verifies."""
    role = slot.removesuffix(NEXT)
    return role in (AUTHORITY_ROOT, AUTHORITY_SERVER) or role.endswith(f"/{AUTHORITY}")


def _pem(signer: CryptoSigner, passphrase: SecretFile | None) -> bytes:
    private = load_pem_private_key(signer.private_bytes, password=None)
    lock = BestAvailableEncryption(passphrase.read()) if passphrase else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def encrypt_keys(ring: KeyRing) -> tuple[str, ...]:
    """Encrypt the key files of a ring that are not, with its passphrase; return their roles. Raises `InputError` without a passphrase."""
    if ring.secrets.passphrase is None:
        message = "name the file with the passphrase: --passphrase-file"
        raise InputError(message)
    plain = [path for path in sorted(ring.directory.rglob("*.pem")) if ENCRYPTED not in path.read_bytes()]
    for path in plain:
        signer = CryptoSigner(load_pem_private_key(path.read_bytes(), password=None))
        durable.replace(path, _pem(signer, ring.secrets.passphrase), mode=0o600)
    return tuple(_role(ring, path) for path in plain)


def write_public(ring: KeyRing, retired: Mapping[str, Sequence[PublicKey]] | None = None) -> bytes:
    """Write a ring's `public.json`, with what is `retired` beside those that are already; return it."""
    path, known = ring.directory / "public.json", _known(ring)
    slots = sorted({*(_role(ring, file) for file in ring.directory.rglob("*.pem")), *ring.uris})
    former = {role: list(keys) for role, keys in known.retired.items()}
    for role, gone in (retired or {}).items():
        former[role] = [*former.get(role, []), *(one for one in gone if one not in former.get(role, []))]
    keys = {slot: _public(ring, slot, known) for slot in slots}
    public = codec.canonical(PublicKeys(format=public_keys.FORMAT, zone=ring.zone, keys=keys, retired=former))
    if not path.is_file() or path.read_bytes() != public:
        durable.replace(path, public)
    return public


def _known(ring: KeyRing) -> PublicKeys:
    path = ring.directory / "public.json"
    found = read_any_public((path,)) if path.is_file() else {ring.zone: PublicKeys(format=public_keys.FORMAT, zone=ring.zone, keys={})}
    if ring.zone not in found:
        message = f"{path}: the keys of the {', '.join(found)} zone are there; give --keys a directory of its own for those of {ring.zone}"
        raise InputError(message)
    return found[ring.zone]


def _role(ring: KeyRing, path: Path) -> str:
    return path.relative_to(ring.directory).as_posix().removesuffix(".pem")


def _public(ring: KeyRing, slot: str, known: PublicKeys) -> PublicKey:
    """Return a key's public half: of a file, of a token that is asked for it, or of another place from `<role>.pub` beside the ring."""
    uri = ring.uris.get(slot)
    if uri is None or slot in known.keys:
        return known.keys[slot] if uri else public_keys.plain(ring.signer(slot).public_key)
    beside = ring.directory / f"{slot}.pub"
    try:
        if uri.startswith(TOKEN):
            return public_keys.plain(_on_token(uri, ring))
        return public_keys.plain(SSlibKey.from_crypto(load_pem_public_key(beside.read_bytes())))
    except FileNotFoundError as error:
        message = f"{beside}: put the public half of {uri} there, as PEM, and run this again"
        raise InputError(message) from error
    except UnsupportedLibraryError as error:
        message = f"{uri}: a library is missing: {error}; keys on tokens need pip install 'ordain[hsm]'"
        raise InputError(message) from error
    except OrdainError:
        raise
    except Exception as error:  # PKCS#11 modules raise errors of their own, of no common family
        message = f"{uri}: it can't be asked for its public key: {type(error).__name__} {error}"
        raise InputError(message) from error


def _on_token(uri: str, ring: KeyRing) -> Key:
    parts = urlsplit(uri)
    label = dict(parse_qsl(parts.query)).get("label")
    return HSMSigner.import_(int(parts.path) if parts.path else None, label, ring.pin)[1]


def retire(ring: KeyRing, role: str, listed: Collection[str]) -> str | None:
    """Put a role's following key in the place of its present one once the trust names it alone; return the retired key's id.

    The private key is destroyed, its public half kept in `public.json`. `listed` are the ids of the keys that are relied on: those that
    the trust names. None means that there was nothing to do.

    Raises:
        InputError: the key is still named, or not a file that ordain could move.
    """
    if not ring.path(role + NEXT).is_file() and role + NEXT not in ring.uris:
        return None
    if role in ring.uris or role + NEXT in ring.uris:
        message = f"{role} is not in a file: name the new key's place as that of {role} in [keys.uris], without {role + NEXT}"
        raise InputError(message)
    old, new = ring.public(role), ring.public(role + NEXT)
    if new.keyid not in listed or old.keyid in listed:
        why = "the old key is still relied on" if old.keyid in listed else "nothing relies on the new key yet"
        message = f"{role}: {why}; rotate first (of the repository key: restart `ordain reconcile`)"
        raise InputError(message)
    write_public(ring, {role: [public_keys.plain(old)]})
    ring.path(role + NEXT).replace(ring.path(role))
    durable.sync_directory(ring.path(role).parent)
    write_public(ring)
    return old.keyid
