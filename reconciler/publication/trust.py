"""A tenant's trust: what the key ceremony signed, read from the store and checked from the first root on."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Targets

from agent.protocol.errors import RefusedError
from reconciler.publication import layout, metadata
from reconciler.publication.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Root and targets of one tenant; `roots` holds every version's bytes, from 1 to the newest."""

    tenant: str
    roots: tuple[bytes, ...]
    root: Root
    targets_data: bytes
    targets: Targets

    def keys(self, role: str) -> list[Key]:
        """Return the keys that may sign for a delegated role (`releases` or `rollouts`)."""
        delegations = self.targets.delegations
        if delegations is None or not delegations.roles or role not in delegations.roles:
            message = f"trust/{self.tenant}: its targets metadata delegates nothing to {role}; repeat the key ceremony"
            raise RefusedError(message)
        return [delegations.keys[keyid] for keyid in delegations.roles[role].keyids]

    @property
    def development(self) -> bool:
        """Whether `ordain up` made it."""
        return bool(self.root.unrecognized_fields.get(metadata.DEVELOPMENT))


def read_trust(store: Store, tenant: str, *, known: Trust | None = None) -> Trust | None:
    """Return a tenant's trust, None while the key ceremony has not happened; the `known` one where the store holds just its bytes.

    Raises:
        RefusedError: a gap, a signature that does not hold, or another tenant's files.
    """
    roots: list[bytes] = []
    while (data := store.get(layout.trust(tenant, f"{len(roots) + 1}.root.json"))) is not None:
        roots.append(data)
    newest = layout.versions(store, layout.trust(tenant), "targets")
    targets_data = store.get(layout.trust(tenant, f"{newest[-1]}.targets.json")) if newest else None
    if not roots or targets_data is None:
        return None
    if known is not None and (known.tenant, known.roots, known.targets_data) == (tenant, tuple(roots), targets_data):
        return known
    return verified_trust(tenant, roots, targets_data, newest[-1])


def verified_trust(tenant: str, roots: Sequence[bytes], targets_data: bytes, version: int) -> Trust:
    """Return the trust that these files make, `roots` from 1 to the newest; raise `RefusedError` as `read_trust` does."""
    root = _follow(tenant, roots)
    what = f"trust/{tenant}/{version}.targets.json"
    targets = metadata.verified(root, Targets.type, targets_data, Targets, what=what)
    metadata.require_mark(targets.unrecognized_fields, metadata.TENANT, tenant, what=what)
    if targets.version != version:
        message = f"{what}: it says version {targets.version}"
        raise RefusedError(message)
    return Trust(tenant=tenant, roots=tuple(roots), root=root, targets_data=targets_data, targets=targets)


def keys_ever(store: Store, tenant: str, role: str) -> list[Key]:
    """Return all keys that a tenant's targets ever let sign `releases` or `rollouts`, oldest first.

    Those that were rotated are trusted for nothing new. An audit of old releases and controls needs them, and takes them from here:
    each targets file must be signed as a root of its time says.

    Raises:
        RefusedError: a file that no root of the tenant vouches for.
    """
    trust = read_trust(store, tenant)
    if trust is None:
        return []
    roots = [metadata.load(data, Root, what=f"trust/{tenant}").signed for data in trust.roots]
    found: dict[str, Key] = {}
    for version in layout.versions(store, layout.trust(tenant), "targets"):
        delegations = _of_its_time(roots, tenant, version, store.get(layout.trust(tenant, f"{version}.targets.json")) or b"").delegations
        delegated = (delegations.roles or {}).get(role) if delegations else None
        found |= {keyid: delegations.keys[keyid] for keyid in delegated.keyids} if delegations and delegated else {}
    return list(found.values())


def _of_its_time(roots: Sequence[Root], tenant: str, version: int, data: bytes) -> Targets:
    what = f"trust/{tenant}/{version}.targets.json"
    for root in roots[:-1]:
        with contextlib.suppress(RefusedError):
            return metadata.verified(root, Targets.type, data, Targets, what=what)
    return metadata.verified(roots[-1], Targets.type, data, Targets, what=what)


def _follow(tenant: str, roots: Sequence[bytes]) -> Root:
    trusted: Root | None = None
    for version, data in enumerate(roots, start=1):
        what = f"trust/{tenant}/{version}.root.json"
        root = metadata.load(data, Root, what=what).signed
        for delegator in (trusted or root, root):
            metadata.verified(delegator, Root.type, data, Root, what=what)
        metadata.require_mark(root.unrecognized_fields, metadata.TENANT, tenant, what=what)
        if root.version != version:
            message = f"{what}: it says version {root.version}"
            raise RefusedError(message)
        trusted = root
    assert trusted is not None  # noqa: S101 - the caller passes at least one
    return trusted
