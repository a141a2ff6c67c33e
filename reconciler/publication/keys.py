"""Key rings: which private keys a zone holds, where, and what of them may travel.

Each zone has keys of its own and never sees another's. They are referred to by securesystemslib URIs (file now; HSM, KMS and
Vault by settings alone); those that ordain makes are Ed25519, in PEM files that only their owner may read and that are never
overwritten. Only `public.json` ever leaves a zone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import Error as SigningError
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from agent.protocol import codec, durable
from agent.protocol.errors import InputError
from agent.protocol.identity import require_label
from agent.protocol.state import Struct

Zone = Literal["offline", "pipeline", "control"]

OFFLINE_ROLES = ("root-1", "root-2", "root-3", "targets")
PIPELINE_TENANT_ROLES = ("releases",)
CONTROL_TENANT_ROLES = ("rollouts", "snapshot", "timestamp")
PUBLIC_FORMAT = 1
PUBLIC_LIMIT = 16 * 1024 * 1024
"""Bytes of a `public.json`: about 40,000 tenants."""


class _PublicKey(Struct):
    keyid: str
    keytype: str
    scheme: str
    keyval: dict[str, str]


class PublicKeys(Struct):
    """`public.json`: a zone's public keys by role (`repository`, `shop/releases`)."""

    format: int
    zone: Zone
    keys: dict[str, _PublicKey]

    def key(self, role: str) -> Key:
        """Return the public key of a role; raise `InputError` if it is not there."""
        found = self.keys.get(role)
        if found is None:
            message = f"the {self.zone} zone's public keys have none for {role}; run `ordain keys init --zone {self.zone}` there"
            raise InputError(message)
        try:
            return Key.from_dict(found.keyid, {"keytype": found.keytype, "scheme": found.scheme, "keyval": dict(found.keyval)})
        except (ValueError, KeyError) as error:
            message = f"the {self.zone} zone's public key for {role} can't be used: {error}"
            raise InputError(message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The keys of one zone: files in `directory`, unless `uris` names another place for a role.

    Roles are `root-1` … `root-3` and `targets` (offline); `repository` and `<tenant>/releases` (pipeline); `<tenant>/rollouts`,
    `<tenant>/snapshot` and `<tenant>/timestamp` (control). A key elsewhere needs its public half in the directory's `public.json`.
    """

    zone: Zone
    directory: Path
    uris: Mapping[str, str] = field(default_factory=dict)

    def path(self, role: str) -> Path:
        """Return where the key file of a role is, or would be."""
        return self.directory / f"{role}.pem"

    def has(self, role: str) -> bool:
        """Return whether this ring can sign for a role."""
        return role in self.uris or self.path(role).is_file()

    def signer(self, role: str) -> Signer:
        """Return the signer of a role; raise `InputError` if the ring has no such key or can't use it."""
        uri = self.uris.get(role)
        try:
            if uri is not None:
                return Signer.from_priv_key_uri(uri, self.public(role))
            return CryptoSigner(load_pem_private_key(self.path(role).read_bytes(), password=None))
        except FileNotFoundError as error:
            message = f"{self.path(role)}: no such key; run `ordain keys init --zone {self.zone}`, or name the key's place in the settings"
            raise InputError(message) from error
        except (OSError, ValueError, TypeError, SigningError, UnsupportedAlgorithm) as error:
            message = f"the {self.zone} key for {role} ({uri or self.path(role)}) can't be used: {error}"
            raise InputError(message) from error

    def public(self, role: str) -> Key:
        """Return the public key of a role; raise `InputError` if the ring has none."""
        if role in self.uris:
            return read_public(self.directory / "public.json", zone=self.zone).key(role)
        return self.signer(role).public_key


def zone_roles(zone: Zone, tenants: Sequence[str]) -> list[str]:
    """Return the roles that a zone's ring has for these tenants."""
    if zone == "offline":
        return list(OFFLINE_ROLES)
    per_tenant = PIPELINE_TENANT_ROLES if zone == "pipeline" else CONTROL_TENANT_ROLES
    shared = ["repository"] if zone == "pipeline" else []
    return shared + [f"{require_label(tenant, 'tenant')}/{role}" for tenant in tenants for role in per_tenant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A ring after its keys were made: which roles are new, and the public half of all that it has."""

    ring: KeyRing
    created: tuple[str, ...]
    public: bytes


def make_keys(zone: Zone, directory: Path, tenants: Sequence[str] = ()) -> Made:
    """Make what a zone's ring lacks for these tenants, and `public.json`; keys that exist stay as they are."""
    ring = KeyRing(zone=zone, directory=directory)
    durable.make_directory(directory, mode=0o700)
    created = tuple(role for role in zone_roles(zone, tenants) if _make_key(ring.path(role)))
    public = codec.canonical(PublicKeys(format=PUBLIC_FORMAT, zone=zone, keys=_public_keys(ring)))
    path = directory / "public.json"
    if not path.is_file() or path.read_bytes() != public:
        durable.replace(path, public)
    return Made(ring=ring, created=created, public=public)


def read_public(path: Path, *, zone: Zone) -> PublicKeys:
    """Read a `public.json` that must be of this zone; raise `InputError` if it is not."""
    found = _decode_public(path, zone)
    if found.zone != zone or found.format != PUBLIC_FORMAT:
        message = f"{path}: public keys of the {found.zone} zone, format {found.format}; those of the {zone} zone are needed"
        raise InputError(message)
    return found


def _decode_public(path: Path, zone: Zone) -> PublicKeys:
    try:
        return msgspec.json.decode(path.read_bytes()[:PUBLIC_LIMIT], type=PublicKeys, strict=True)
    except OSError as error:
        message = f"{path}: {error.strerror}; it is what `ordain keys init --zone {zone} --out` wrote"
        raise InputError(message) from error
    except (msgspec.MsgspecError, ValueError) as error:
        message = f"{path}: not a file of public keys: {error}"
        raise InputError(message) from error


def public_zone(path: Path) -> Zone:
    """Return which zone's keys a `public.json` holds; raise `InputError` if it is none."""
    return _decode_public(path, "pipeline").zone


def _make_key(path: Path) -> bool:
    if path.exists():
        return False
    durable.make_directory(path.parent, mode=0o700)
    return durable.create(path, CryptoSigner.generate_ed25519().private_bytes, mode=0o600)


def _public_keys(ring: KeyRing) -> dict[str, _PublicKey]:
    roles = (path.relative_to(ring.directory).with_suffix("").as_posix() for path in ring.directory.rglob("*.pem"))
    return {role: _plain(ring.public(role)) for role in sorted(roles)}


def _plain(key: Key) -> _PublicKey:
    assert isinstance(key, SSlibKey)  # noqa: S101 - file keys are of this class
    return _PublicKey(keyid=key.keyid, keytype=key.keytype, scheme=key.scheme, keyval={"public": key.keyval["public"]})
