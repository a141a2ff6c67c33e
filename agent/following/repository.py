"""One fleet's repository as its agent sees it: the documents that verified metadata names, and nothing else."""

import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from agent.fetching.binding import Binding
from agent.fetching.fetcher import Http
from agent.protocol import bundle, codec, membership, rollout
from agent.protocol.bundle import Bundle
from agent.protocol.errors import MalformedError, OrdainError
from agent.protocol.membership import Member
from agent.protocol.rollout import Release, RolloutDocument
from agent.trust.trusted import Places, Trusted
from agent.watching.answered import Answered


class _Custom(msgspec.Struct):
    """What the releases role says of a target beside its hash; it may gain fields."""

    sequence: int = 0
    commit: str = ""
    decision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a release comes from, as its signer says: the commit and the decision that approved it."""

    commit: str
    decision: int


class Repository:
    """One fleet's repository for one poll."""

    def __init__(
        self,
        *,
        fleet: str,
        tenant: str,
        server: str,
        directory: Path,
        cache: Path,
        http: Http,
        bootstrap: bytes,
        answered: Answered | None = None,
    ) -> None:
        """`directory` holds metadata and floors of this fleet alone, `cache` what is known by digest, `answered` what a watch brought."""
        self.fleet = fleet
        self._full = f"{tenant}/{fleet}"
        base = f"{server}/v1/repositories/{tenant}/{fleet}"
        places = Places(
            metadata_url=f"{base}/metadata/",
            targets_url=f"{base}/targets/",
            metadata=directory / "metadata",
            floors=directory / "floors.json",
            cache=cache,
        )
        binding = Binding(tenant=tenant, fleet=fleet)
        self._trusted = Trusted(name=self._full, places=places, http=http, bootstrap=bootstrap, binding=binding, answered=answered)

    @property
    def now(self) -> str:
        """The reference time, RFC 3339: the clock's, or the latest signed one where the clock is behind it."""
        return self._trusted.now

    def latest(self, clock: datetime) -> str:
        """Return a time, RFC 3339, where nothing could be fetched: the clock's, or the latest signed one that was ever seen here."""
        return self._trusted.latest(clock)

    @property
    def fresh_until(self) -> str:
        """Until when what was verified starts new things, RFC 3339; empty before a refresh."""
        return self._trusted.fresh_until

    @property
    def development(self) -> bool:
        """Whether the root is marked as one of development keys."""
        return self._trusted.development

    def refresh(self, clock: datetime) -> RolloutDocument:
        """Fetch and verify the newest metadata, raise the floors for keeps, and return the rollout document.

        Raises:
            RefusedError: something is not signed, not this fleet's, older than seen, or expired.
            RetryError: something could not be fetched.
        """
        self._trusted.refresh(clock)
        data = self._trusted.read(rollout.target(self.fleet), limit=codec.DOCUMENT_LIMIT)
        document = rollout.decode(data, fleet=self._full)
        keys = self._trusted.raise_role("rollouts")
        self._trusted.raise_floor("serial", keys, document.serial)
        self._trusted.raise_floor("epoch", keys, document.epoch)
        self._look_ahead(document)
        self._trusted.keep()
        return document

    def _look_ahead(self, document: RolloutDocument) -> None:
        """Raise the floor of what will be read next, so that all are put on disk at once; what is wrong with it is said when it is read."""
        release = document.candidate or document.stable
        if release is not None:
            with contextlib.suppress(OrdainError):
                self._trusted.listed(membership.target(release.members))
                self._trusted.raise_role("releases")

    def member(self, sequence: int, agent: str) -> Member | None:
        """Return what members `sequence` says of `agent`, None if they don't list it; only its own shard is read."""
        data = self._release_part(membership.target(sequence), limit=codec.DOCUMENT_LIMIT)
        document = membership.decode(data, fleet=self._full, sequence=sequence)
        digest = membership.needed_shard(document, agent)
        if document.shards is not None and "/" not in agent and digest is None:
            return None
        shard = None
        if digest is not None:
            data = self._release_part(membership.shard_target(digest), limit=codec.DOCUMENT_LIMIT)
            shard = membership.decode_shard(data, fleet=self._full, digest=digest)
        return membership.find(document, shard, agent)

    def bundle(self, digest: str) -> Bundle:
        """Return the bundle with this digest, which the releases role must list for this fleet."""
        packed = self._release_part(bundle.target(self.fleet, digest), limit=bundle.COMPRESSED_LIMIT)
        unpacked = bundle.unpack(packed, digest=digest)
        if unpacked.fleet != self._full:
            message = f"bundle {digest}: it is of {unpacked.fleet}, not of {self._full}"
            raise MalformedError(message)
        return unpacked

    def provenance(self, release: Release) -> Provenance:
        """Return the commit and decision of whichever part of the release was approved last."""
        customs = [
            self._custom(bundle.target(self.fleet, release.digest)),
            self._custom(membership.target(release.members)),
        ]
        try:
            read = [msgspec.convert(custom, _Custom, strict=True) for custom in customs]
        except msgspec.ValidationError as error:
            message = f"{self._full}: what is signed of release {release.digest[:12]}: {error}"
            raise MalformedError(message) from error
        newest = max(read, key=lambda custom: custom.sequence)
        return Provenance(commit=newest.commit, decision=newest.decision)

    def prune(self, digests: set[str]) -> None:
        """Drop cached targets that were not read since the refresh, but bundles with these digests."""
        self._trusted.prune({Path(bundle.target(self.fleet, digest)).name for digest in digests})

    def _custom(self, target: str) -> dict[str, Any]:
        return self._trusted.listed(target).custom or {}

    def _release_part(self, target: str, *, limit: int) -> bytes:
        """Return a target of the releases role, whose floor is raised and kept before it is used."""
        self._trusted.listed(target)
        self._trusted.raise_role("releases")
        self._trusted.keep()
        return self._trusted.read(target, limit=limit)
