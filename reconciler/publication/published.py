"""What stands published for a fleet, as plain values: not verified, since whoever asks either wrote it or must not trust it.

`serve` asks where to go on from, and has a TUF client verify all of it before it moves a timestamp. `reconcile` asks which releases a
rollout document names, only to keep them listed.
"""

from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import MetaFile, Snapshot, Targets, Timestamp

from agent.protocol import rollout
from agent.protocol.errors import MalformedError
from agent.protocol.rollout import RolloutDocument
from reconciler.publication import layout, metadata
from reconciler.publication.releases import fleet_name
from reconciler.publication.store import Store
from reconciler.publication.times import instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One fleet's repository as its timestamp says; `stored` is the timestamp's version in the store."""

    timestamp: Timestamp
    timestamp_data: bytes
    stored: str
    snapshot: Snapshot
    snapshot_data: bytes
    rollouts: Targets
    document: RolloutDocument

    def file(self, role: str) -> MetaFile:
        """Return how the snapshot refers to a role."""
        return self.snapshot.meta[f"{role}.json"]

    @property
    def signed_at(self) -> datetime:
        """When the timestamp was signed."""
        return instant(str(self.timestamp.unrecognized_fields.get(metadata.SIGNED_AT)), what="timestamp")


def read_published(store: Store, tenant: str, fleet: str) -> Published | None:
    """Return what stands published for a fleet, None if nothing does.

    Raises:
        MalformedError: files are missing or damaged.
    """
    name = fleet_name(tenant, fleet)
    found = store.get_versioned(layout.metadata(tenant, fleet, "timestamp.json"))
    if found is None:
        return None
    timestamp = metadata.load(found[0], Timestamp, what=f"timestamp of {name}").signed
    snapshot_data = _required(store, tenant, fleet, "snapshot", timestamp.snapshot_meta.version)
    snapshot = metadata.load(snapshot_data, Snapshot, what=f"snapshot of {name}").signed
    if not {"targets.json", "releases.json", "rollouts.json"} <= set(snapshot.meta):
        message = f"snapshot of {name}: it lacks a role"
        raise MalformedError(message)
    rollouts_data = _required(store, tenant, fleet, "rollouts", snapshot.meta["rollouts.json"].version)
    rollouts = metadata.load(rollouts_data, Targets, what=f"rollouts of {name}").signed
    return Published(
        timestamp=timestamp,
        timestamp_data=found[0],
        stored=found[1],
        snapshot=snapshot,
        snapshot_data=snapshot_data,
        rollouts=rollouts,
        document=_document(store, tenant, fleet, rollouts),
    )


def _required(store: Store, tenant: str, fleet: str, role: str, version: int) -> bytes:
    key = layout.metadata(tenant, fleet, f"{version}.{role}.json")
    data = store.get(key)
    if data is None:
        message = f"{key}: missing, though what is published refers to it"
        raise MalformedError(message)
    return data


def _document(store: Store, tenant: str, fleet: str, rollouts: Targets) -> RolloutDocument:
    name = fleet_name(tenant, fleet)
    listed = rollouts.targets.get(rollout.target(fleet))
    sha256 = listed.hashes.get("sha256") if listed else None
    data = store.get(layout.target(tenant, fleet, rollout.target(fleet), sha256)) if sha256 else None
    if data is None:
        message = f"rollout document of {name}: missing, though what is published refers to it"
        raise MalformedError(message)
    return rollout.decode(data, fleet=name)
