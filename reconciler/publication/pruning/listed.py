"""What lists of approved releases name, read as they stand: pruning only ever keeps more for what it finds in one."""

from tuf.api.metadata import Targets

from agent.protocol import bundle, membership
from agent.protocol.errors import MalformedError
from agent.protocol.rollout import Release
from reconciler.publication import layout, metadata
from reconciler.publication.releases import ROLE
from reconciler.publication.store import Store

Listed = dict[str, str]
"""Target path → SHA-256 of its bytes."""


def listed_at(store: Store, prefix: str, version: int) -> Listed:
    """Return what a version of the releases role lists that stands at a prefix (`approved/shop/web/`).

    Raises:
        MalformedError: it is missing, or none.
    """
    key = f"{prefix}{version}.{ROLE}.json"
    signed = metadata.load(store.get(key) or b"", Targets, what=key).signed
    return {path: str(file.hashes.get("sha256")) for path, file in signed.targets.items()}


def fleets_below(store: Store, prefix: str) -> set[tuple[str, str]]:
    """Return tenant and name of all fleets that have files below a zone's prefix, also of those that left git: their hosts go on."""
    return {(tenant, fleet) for tenant in layout.children(store, prefix) for fleet in layout.children(store, f"{prefix}{tenant}/")}


def newest_list(store: Store, tenant: str, fleet: str) -> int:
    """Return the newest version of what is approved for a fleet, 0 for none."""
    return max(layout.versions(store, layout.approved(tenant, fleet), ROLE), default=0)


def files_of(store: Store, tenant: str, fleet: str, release: Release) -> set[str]:
    """Return the target paths of a release: its bundle, its members and their shards. Members that are not there name no shards."""
    found = {bundle.target(fleet, release.digest), membership.target(release.members)}
    data = store.get(layout.approved(tenant, fleet, membership.target(release.members)))
    try:
        document = membership.decode(data or b"", fleet=f"{tenant}/{fleet}", sequence=release.members)
    except MalformedError:
        return found
    return found | {membership.shard_target(digest) for digest in (document.shards.digests.values() if document.shards else ())}
