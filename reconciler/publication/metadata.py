"""TUF metadata of one small repository per fleet: how each role is made, signed and read.

Root and targets are the tenant's and signed offline; one targets delegation serves all its fleets. Every role below them carries a
signed `x-fleet`, since a tenant's fleets share keys; root and targets carry a signed `x-tenant`, since tenants may share offline keys.
Integers and strings only in what is signed. https://theupdateframework.github.io/specification/latest/
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import SerializationError

from agent.protocol import codec
from agent.protocol.errors import MalformedError, RefusedError, RetryError
from reconciler.publication.times import stamp

ROOT_THRESHOLD = 2
ROOT_KEYS = 3
ROOT_LIFE = timedelta(days=730)
TARGETS_LIFE = timedelta(days=365)
RELEASES_LIFE_LEAST = timedelta(days=60)
"""A pipeline may rest this long (less than half, to be exact) before releases lapse."""
ONLINE_FACTOR = 7
"""Rollouts and snapshot outlive this many timestamps, so that only timestamps are renewed often."""
RENEW_AT_MOST = timedelta(hours=1)
"""How old a timestamp gets before it is renewed; a quarter of the freshness if that is less."""

FLEET = "x-fleet"
TENANT = "x-tenant"
SIGNED_AT = "x-signed-at"
DEVELOPMENT = "x-development"

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


def releases_life(freshness: timedelta) -> timedelta:
    """Return how long the releases role of a fleet is valid."""
    return max(RELEASES_LIFE_LEAST, 2 * freshness)


def renewal(freshness: timedelta) -> timedelta:
    """Return the age at which a timestamp is renewed."""
    return min(RENEW_AT_MOST, freshness / 4)


def half_over(signed: Signed, life: timedelta, now: datetime) -> bool:
    """Return whether half of a role's life is over, or its expiry is not the one that `life` asks for."""
    left = signed.expires - now
    return left < life / 2 or left > life + timedelta(minutes=1)


def root(tenant: str, keys: Mapping[str, Sequence[Key]], *, now: datetime, development: bool = False, version: int = 1) -> Root:
    """Return root metadata; `keys` are those of `root`, `targets`, `snapshot` and `timestamp`."""
    roles = {name: Role([key.keyid for key in held], ROOT_THRESHOLD if name == Root.type else 1) for name, held in keys.items()}
    marks: dict[str, str | bool] = {TENANT: tenant} | ({DEVELOPMENT: True} if development else {})
    return Root(
        version=version,
        expires=now + ROOT_LIFE,
        keys={key.keyid: key for held in keys.values() for key in held},
        roles=roles,
        unrecognized_fields=marks,
    )


def targets(tenant: str, *, releases: Key, rollouts: Key, now: datetime, version: int = 1, also_releases: Sequence[Key] = ()) -> Targets:
    """Return targets metadata: no targets of its own, and two terminating delegations.

    `also_releases` are keys that may sign releases beside the first, while a rotation is under way.
    """
    releasing = {key.keyid: key for key in (releases, *also_releases)}
    roles = {
        "releases": DelegatedRole("releases", list(releasing), 1, terminating=True, paths=["bundles/*", "members/*"]),
        "rollouts": DelegatedRole("rollouts", [rollouts.keyid], 1, terminating=True, paths=["rollouts/*"]),
    }
    delegations = Delegations(releasing | {rollouts.keyid: rollouts}, roles)
    return Targets(version=version, expires=now + TARGETS_LIFE, delegations=delegations, unrecognized_fields={TENANT: tenant})


def role(fleet: str, listed: Mapping[str, TargetFile], *, version: int, expires: datetime) -> Targets:
    """Return metadata of the releases or rollouts role; `fleet` is `<tenant>/<fleet>`."""
    return Targets(version=version, expires=expires, targets=dict(listed), unrecognized_fields={FLEET: fleet})


def target_file(path: str, data: bytes, custom: Mapping[str, object] | None = None) -> TargetFile:
    """Return what a role says about one target."""
    return TargetFile(len(data), {"sha256": codec.sha256(data)}, path, {"custom": dict(custom)} if custom else None)


def snapshot(fleet: str, *, targets_version: int, roles: Mapping[str, MetaFile], version: int, expires: datetime) -> Snapshot:
    """Return snapshot metadata; `roles` says which releases and rollouts belong together."""
    meta = {"targets.json": MetaFile(targets_version), **{f"{name}.json": file for name, file in roles.items()}}
    return Snapshot(version=version, expires=expires, meta=meta, unrecognized_fields={FLEET: fleet})


def timestamp(fleet: str, *, snapshot_file: MetaFile, version: int, expires: datetime, now: datetime) -> Timestamp:
    """Return timestamp metadata, which says when it was signed."""
    marks = {FLEET: fleet, SIGNED_AT: stamp(now)}
    return Timestamp(version=version, expires=expires, snapshot_meta=snapshot_file, unrecognized_fields=marks)


def meta_file(version: int, data: bytes) -> MetaFile:
    """Return how snapshot and timestamp refer to a metadata file: by version, length and hash."""
    return MetaFile(version, len(data), {"sha256": codec.sha256(data)})


def sign(signed: Signed, signers: Sequence[Signer]) -> bytes:
    """Return the metadata file of a role, signed by all `signers`; raise `RetryError` if a key can't be used now."""
    return add_signatures(Metadata(signed), signers)


def add_signatures(document: Metadata[Any], signers: Sequence[Signer]) -> bytes:
    """Return the file of a document signed by these too; raises as `sign`."""
    for signer in signers:
        try:
            document.sign(signer, append=True)
        except UnsignedMetadataError as error:
            message = f"{document.signed.type} can't be signed: {error}; see to the key's place, then it goes on by itself"
            raise RetryError(message) from error
    return document.to_bytes()


def load(data: bytes, kind: type[T], *, what: str) -> Metadata[T]:
    """Read a metadata file, unverified as yet; raise `MalformedError` if it is none of this kind."""
    if len(data) > codec.DOCUMENT_LIMIT:
        message = f"{what}: {len(data)} bytes, more than {codec.DOCUMENT_LIMIT}"
        raise MalformedError(message)
    try:
        found: Metadata[T] = Metadata.from_bytes(data)
    except (RepositoryError, RecursionError) as error:
        message = f"{what}: not TUF metadata ({error.__cause__ or error})"
        raise MalformedError(message) from error
    if not isinstance(found.signed, kind):
        message = f"{what}: it is {found.signed.type} metadata, not {kind.type}"
        raise MalformedError(message)
    return found


def verified(delegator: Root | Targets, name: str, data: bytes, kind: type[T], *, what: str) -> T:
    """Read a metadata file that must be signed as the role `name` of `delegator`.

    Raises:
        MalformedError: not metadata of this kind.
        RefusedError: not signed by enough of the role's keys.
    """
    found = load(data, kind, what=what)
    try:
        delegator.verify_delegate(name, found.signed_bytes, found.signatures)
    except (UnsignedMetadataError, SerializationError, ValueError) as error:
        message = f"{what}: {error}; only the {name} key may sign it"
        raise RefusedError(message) from error
    return found.signed


def require_mark(fields: Mapping[str, Any], mark: str, value: str, *, what: str) -> None:
    """Raise `RefusedError` unless these fields of signed metadata say that it belongs to this tenant (`x-tenant`) or fleet (`x-fleet`)."""
    stated = fields.get(mark)
    if stated != value:
        message = f"{what}: it belongs to {str(stated)[:130]!r}, not to {value!r} ({mark})"
        raise RefusedError(message)
