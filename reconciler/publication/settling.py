"""Whether everything is signed with a new releases key and published so, which is when the old one may go."""

import contextlib

from securesystemslib.signer import Key

from agent.protocol.errors import RefusedError
from reconciler.publication import controls, envelope, layout, releases
from reconciler.publication.published import read_published
from reconciler.publication.store import Store
from reconciler.publication.trust import Trust


def unsettled(store: Store, trust: Trust, key: Key) -> list[str]:
    """Return what agents or `serve` would lose if only `key` could sign a tenant's releases: its controls, and fleets by name."""
    data = store.get(layout.controls(trust.tenant))
    if data is None:
        return []
    missing = [] if envelope.is_signed_by(data, key, what=f"controls of {trust.tenant}") else ["controls"]
    fleets = controls.read(data, trust.keys("releases"), tenant=trust.tenant).fleets
    return missing + [name for name in sorted(fleets) if not _is_settled(store, trust, name, key)]


def _is_settled(store: Store, trust: Trust, fleet: str, key: Key) -> bool:
    approved = layout.versions(store, layout.approved(trust.tenant, fleet), releases.ROLE)
    published = None
    with contextlib.suppress(RefusedError):
        published = read_published(store, trust.tenant, fleet)
    if not approved and published is None:
        return True
    if not approved or published is None or published.unsigned(trust):
        return False
    places = (
        (layout.approved(trust.tenant, fleet, f"{approved[-1]}.{releases.ROLE}.json"), approved[-1]),
        (
            layout.metadata(trust.tenant, fleet, f"{published.file(releases.ROLE).version}.{releases.ROLE}.json"),
            published.file(releases.ROLE).version,
        ),
    )
    return all(_is_signed(store.get(place), trust.tenant, fleet, key, version) for place, version in places)


def _is_signed(data: bytes | None, tenant: str, fleet: str, key: Key, version: int) -> bool:
    try:
        releases.read(releases.delegating_to(key), tenant, fleet, data or b"", version=version)
    except RefusedError:
        return False
    return True
