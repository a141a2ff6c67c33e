"""Whoever stole the control zone's keys, and what one can sign and write with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from tuf.api.metadata import MetaFile, Signed

from agent.protocol import codec, rollout
from agent.protocol.rollout import RolloutDocument
from reconciler.publication import layout, metadata
from reconciler.publication.published import read_published
from tests.publication_cases import Zone, now

LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thief:
    """Whoever holds the control ring and may write anything under `public/`; it has no other key."""

    zone: Zone

    def put(self, key: str, data: bytes) -> None:
        """Write whatever wherever."""
        self.zone.store.replace(key, data, self.zone.store.version(key))

    def put_target(self, path: str, data: bytes) -> None:
        """Put a target where clients look for it."""
        self.put(layout.target("shop", "web", path, codec.sha256(data)), data)

    def publish(
        self,
        document: RolloutDocument,
        *,
        number: int,
        releases: MetaFile | None = None,
        also: Mapping[str, bytes] | None = None,
        fleet: str = "shop/web",
    ) -> None:
        """Sign all that online keys can sign, under the version `number`, and put it under fleet web."""
        files = {rollout.target("web"): codec.canonical(document), **(also or {})}
        for path, data in files.items():
            self.put_target(path, data)
        listed = {path: metadata.target_file(path, data) for path, data in files.items()}
        rollouts = self.sign(metadata.role(fleet, listed, version=number, expires=now() + LIFE), "rollouts")
        self.put(layout.metadata("shop", "web", f"{number}.rollouts.json"), rollouts)
        standing = read_published(self.zone.store, "shop", "web")
        assert standing is not None
        roles = {"releases": releases or standing.file("releases"), "rollouts": metadata.meta_file(number, rollouts)}
        snapshot = self.sign(metadata.snapshot(fleet, targets_version=1, roles=roles, version=number, expires=now() + LIFE), "snapshot")
        self.put(layout.metadata("shop", "web", f"{number}.snapshot.json"), snapshot)
        file = metadata.meta_file(number, snapshot)
        timestamp = metadata.timestamp(fleet, snapshot_file=file, version=number, expires=now() + LIFE, now=now())
        self.put(layout.metadata("shop", "web", "timestamp.json"), self.sign(timestamp, "timestamp"))

    def sign(self, signed: Signed, role: str) -> bytes:
        """Sign with one of the online keys."""
        return metadata.sign(signed, [self.zone.rings.control.signer(f"shop/{role}")])

    def document(self, **changes: object) -> RolloutDocument:
        """Return the rollout document that stands published, with changes."""
        standing = read_published(self.zone.store, "shop", "web")
        assert standing is not None
        return msgspec.structs.replace(standing.document, **changes)
