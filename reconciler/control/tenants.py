"""What the control zone knows about a tenant: its trust, its signers and its controls, each verified before it is believed."""

from dataclasses import dataclass
from datetime import datetime

from agent.protocol.errors import RefusedError
from reconciler.control.publish import OnlineKeys, online_keys
from reconciler.publication import controls as control_files
from reconciler.publication import layout
from reconciler.publication.controls import Controls
from reconciler.publication.keys import CONTROL_TENANT_ROLES, KeyRing
from reconciler.publication.store import Store
from reconciler.publication.trust import Trust, read_trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant that can be published."""

    trust: Trust
    keys: OnlineKeys
    controls: Controls
    stored: str
    """The store's version of the controls."""


def discover(store: Store) -> list[str]:
    """Return all tenants that have trust or approved files, sorted."""
    return sorted({*layout.children(store, "trust/"), *layout.children(store, "approved/")})


def read_controls(store: Store, trust: Trust) -> Controls | None:
    """Return a tenant's controls, verified by its trust; None if there are none yet. Raises as `controls.read` does."""
    found = _read_controls(store, trust)
    return found[0] if found else None


def _read_controls(store: Store, trust: Trust, known: Tenant | None = None) -> tuple[Controls, str] | None:
    """Return controls and the store's version of them; `known` are those of a tenant with just this trust."""
    key = layout.controls(trust.tenant)
    if known is not None and store.version(key) == known.stored:
        return known.controls, known.stored
    found = store.get_versioned(key)
    return (control_files.read(found[0], trust.keys("releases"), tenant=trust.tenant), found[1]) if found else None


def read_tenant(store: Store, ring: KeyRing, name: str, *, floor: int, now: datetime, known: Tenant | None = None) -> Tenant | str:
    """Return a tenant, or in words what it waits for: the key ceremony, this zone's keys, its first controls.

    `floor` is the sequence of the last controls that were taken. Of the `known` tenant, as it was read before, what stands byte for byte
    the same is not verified and taken apart again: controls name every host of a tenant.

    Raises:
        RefusedError: something is signed by others than the trust says, expired, or older than what was taken.
    """
    trust = read_trust(store, name, known=known.trust if known else None)
    if trust is None:
        return "waiting for keys: run the key ceremony (`ordain keys init --zone offline`) for it"
    if not all(ring.has(f"{name}/{role}") for role in CONTROL_TENANT_ROLES):
        return f"waiting for keys: the control zone has none for it; run `ordain keys init --zone control --tenant {name}`"
    keys = online_keys(ring, trust)
    found = _read_controls(store, trust, known if known is not None and known.trust is trust else None)
    if found is None:
        return "waiting for its first controls from `ordain reconcile`"
    controls, stored = found
    if control_files.is_expired(controls, now):
        message = f"controls of {name}: expired at {controls.expires}; `ordain reconcile` renews them long before, see whether it runs"
        raise RefusedError(message)
    if controls.sequence < floor:
        message = f"controls of {name}: sequence {controls.sequence}, but {floor} was taken already; was approved/ restored from a backup?"
        raise RefusedError(message)
    return Tenant(trust=trust, keys=keys, controls=controls, stored=stored)
