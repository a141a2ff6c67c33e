"""The key ceremony: the first root and targets of each tenant, signed offline, from public keys that other machines sent.

Nothing but public files travels. It is idempotent, and refuses to put other keys in the place of those that a tenant has: agents hold
the first root, so keys are rotated by a further root (see `rotation` and `travel`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from agent.protocol import codec, durable
from agent.protocol.errors import InputError
from reconciler.publication import layout, metadata, travel
from reconciler.publication.key_making import make_keys
from reconciler.publication.keys import KeyRing
from reconciler.publication.public_keys import PublicKeys, read_public
from reconciler.publication.store import Store
from reconciler.publication.travel import Change
from reconciler.publication.trust import Trust, read_trust

MARKER = "DEVELOPMENT-KEYS"
_MARKER_TEXT = b"These keys were made by `ordain up` on one machine, all zones together. Real hosts must never trust them.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """The key rings of both online zones."""

    pipeline: KeyRing
    control: KeyRing


def found_trust(
    store: Store, offline: KeyRing, tenant: str, *, pipeline: PublicKeys, control: PublicKeys, now: datetime, development: bool = False
) -> bool:
    """Sign a tenant's root and targets into the store; return whether that was needed.

    Raises:
        InputError: the tenant has a trust with other keys, or a public key is missing.
    """
    root, targets = _first(offline, tenant, pipeline=pipeline, control=control, now=now, development=development)
    existing = read_trust(store, tenant)
    if existing is not None:
        _require_same_keys(existing, root, targets)
        return False
    root_data, targets_data = _signed(offline, root, targets)
    _put(store, layout.trust(tenant, "1.root.json"), root_data, root)
    _put(store, layout.trust(tenant, "1.targets.json"), targets_data, targets)
    return True


def first_trust(offline: KeyRing, tenant: str, *, pipeline: PublicKeys, control: PublicKeys, now: datetime) -> Change:
    """Return a tenant's first root and targets, signed, to be carried to a store; raise `InputError` if a public key is missing."""
    return travel.first(tenant, *_signed(offline, *_first(offline, tenant, pipeline=pipeline, control=control, now=now)))


def _first(
    offline: KeyRing, tenant: str, *, pipeline: PublicKeys, control: PublicKeys, now: datetime, development: bool = False
) -> tuple[Root, Targets]:
    root = metadata.root(tenant, _top_level(offline, control, tenant), now=now, development=development)
    releases, rollouts = pipeline.key(f"{tenant}/releases"), control.key(f"{tenant}/rollouts")
    return root, metadata.targets(tenant, releases=releases, rollouts=rollouts, now=now)


def _signed(offline: KeyRing, root: Root, targets: Targets) -> tuple[bytes, bytes]:
    signers = [offline.signer(f"root-{number}") for number in range(1, metadata.ROOT_KEYS + 1)]
    return metadata.sign(root, signers), metadata.sign(targets, [offline.signer("targets")])


def _top_level(offline: KeyRing, control: PublicKeys, tenant: str) -> dict[str, list[Key]]:
    return {
        Root.type: [offline.public(f"root-{number}") for number in range(1, metadata.ROOT_KEYS + 1)],
        Targets.type: [offline.public("targets")],
        Snapshot.type: [control.key(f"{tenant}/snapshot")],
        Timestamp.type: [control.key(f"{tenant}/timestamp")],
    }


def _put(store: Store, key: str, data: bytes, signed: Root | Targets) -> None:
    if store.create(key, data):
        return
    standing: Root | Targets
    if isinstance(signed, Root):
        standing = metadata.load(store.get(key) or b"", Root, what=key).signed
    else:
        standing = metadata.load(store.get(key) or b"", Targets, what=key).signed
    if _keys_of(standing) != _keys_of(signed):
        raise _other_keys(key)


def _require_same_keys(existing: Trust, root: Root, targets: Targets) -> None:
    for standing, wanted in ((existing.root, root), (existing.targets, targets)):
        if _keys_of(standing) != _keys_of(wanted):
            raise _other_keys(layout.trust(existing.tenant))


def _keys_of(signed: Root | Targets) -> dict[str, set[str]]:
    roles = signed.roles if isinstance(signed, Root) else (signed.delegations.roles or {}) if signed.delegations else {}
    return {name: set(role.keyids) for name, role in roles.items()}


def _other_keys(where: str) -> InputError:
    message = (
        f"{where}: stands with other keys, and agents rely on them; use the key rings it was made with, "
        "or change its keys with `ordain keys rotate`"
    )
    return InputError(message)


def development_keys(directory: Path, store: Store, tenant: str) -> Rings:
    """Make all keys and the trust of a tenant on one machine, marked as for development; change nothing where they exist.

    Root metadata carries a signed `x-development`, and a file `DEVELOPMENT-KEYS` stands beside the keys.
    """
    durable.make_directory(directory, mode=0o700)
    durable.create(directory / MARKER, _MARKER_TEXT)
    offline = make_keys("offline", directory / "offline").ring
    pipeline = make_keys("pipeline", directory / "pipeline", (tenant,)).ring
    control = make_keys("control", directory / "control", (tenant,)).ring
    found_trust(
        store,
        offline,
        tenant,
        pipeline=read_public(pipeline.directory / "public.json", zone="pipeline"),
        control=read_public(control.directory / "public.json", zone="control"),
        now=datetime.now(UTC),
        development=True,
    )
    return Rings(pipeline=pipeline, control=control)


def unfinished(directory: Path, store: Store) -> list[str]:
    """Return the tenants, sorted, whose development keys were begun and whose trust was not founded: whoever was at it was killed."""
    if not (directory / MARKER).is_file():
        return []
    begun = (path.name for path in (directory / "pipeline").iterdir() if path.is_dir())
    return sorted(tenant for tenant in begun if store.version(layout.trust(tenant, "1.root.json")) is None)


def root_digest(root: bytes) -> str:
    """Return what two people compare when root metadata travels to hosts: its SHA-256."""
    return codec.sha256(root)
