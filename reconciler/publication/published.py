"""What stands published for a fleet, as plain values: not verified, since whoever asks either wrote it or must not trust it.

`serve` asks where to go on from, and has a TUF client verify all of it before it moves a timestamp; `unsigned` tells it what a rotated
key signed, or a thief. `reconcile` asks which releases a rollout document names, only to keep them listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import SerializationError

from agent.protocol import rollout
from agent.protocol.errors import MalformedError
from agent.protocol.rollout import RolloutDocument
from reconciler.publication import layout, metadata
from reconciler.publication.releases import fleet_name
from reconciler.publication.store import Store
from reconciler.publication.times import instant
from reconciler.publication.trust import Trust


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
    files: Mapping[str, Metadata[Any]] = field(default_factory=dict)
    """Timestamp, snapshot and rollouts with their signatures, by role."""

    def file(self, role: str) -> MetaFile:
        """Return how the snapshot refers to a role."""
        return self.snapshot.meta[f"{role}.json"]

    def unsigned(self, trust: Trust) -> frozenset[str]:
        """Return the roles among timestamp, snapshot and rollouts that no key signed which this trust names."""
        delegators: dict[str, Root | Targets] = {Timestamp.type: trust.root, Snapshot.type: trust.root, "rollouts": trust.targets}
        return frozenset(role for role, delegator in delegators.items() if not _is_signed(delegator, role, self.files[role]))

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
    stamped = metadata.load(found[0], Timestamp, what=f"timestamp of {name}")
    timestamp = stamped.signed
    snapshot_data = _required(store, tenant, fleet, "snapshot", timestamp.snapshot_meta.version)
    snapped = metadata.load(snapshot_data, Snapshot, what=f"snapshot of {name}")
    snapshot = snapped.signed
    if not {"targets.json", "releases.json", "rollouts.json"} <= set(snapshot.meta):
        message = f"snapshot of {name}: it lacks a role"
        raise MalformedError(message)
    rollouts_data = _required(store, tenant, fleet, "rollouts", snapshot.meta["rollouts.json"].version)
    rolled = metadata.load(rollouts_data, Targets, what=f"rollouts of {name}")
    return Published(
        timestamp=timestamp,
        timestamp_data=found[0],
        stored=found[1],
        snapshot=snapshot,
        snapshot_data=snapshot_data,
        rollouts=rolled.signed,
        document=_document(store, tenant, fleet, rolled.signed),
        files={Timestamp.type: stamped, Snapshot.type: snapped, "rollouts": rolled},
    )


def _is_signed(delegator: Root | Targets, role: str, file: Metadata[Any]) -> bool:
    try:
        delegator.verify_delegate(role, file.signed_bytes, file.signatures)
    except (UnsignedMetadataError, SerializationError, ValueError):
        return False
    return True


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
