"""What a fleet's releases role lists: what was approved last, and what of it stays listed when more is approved.

Sequences of approvals are common to bundles and members, so the later of two approvals is always the greater.
"""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from securesystemslib.signer import Key
from tuf.api.metadata import TargetFile, Targets

from agent.protocol import membership
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.rollout import Release
from reconciler.publication import layout, releases
from reconciler.publication.releases import Approval
from reconciler.publication.returns import returns
from reconciler.publication.store import Store

KEPT = 5
"""Bundles, and members documents, that stay listed for a return to them, beside all that a rollout may go back to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was approved last, by path; version 0 and nothing listed before the first time."""

    version: int
    signed: Targets | None
    approvals: Mapping[str, Approval]
    signed_by: str = ""
    """Id of the key that signed it."""
    floor: int = 0
    """The version above which to go on after a restore from a backup, 0 where there was none."""

    @property
    def next_version(self) -> int:
        """The version of what is signed next."""
        return max(self.version, self.floor) + 1

    @property
    def restored(self) -> bool:
        """Whether what stands came from a backup, and is to be signed again above all that agents may have seen."""
        return 0 < self.version <= self.floor

    @property
    def targets(self) -> Mapping[str, TargetFile]:
        """What is listed."""
        return self.signed.targets if self.signed else {}

    @property
    def bundles(self) -> list[Approval]:
        """Approvals of bundles, the desired one last."""
        return sorted((one for one in self.approvals.values() if one.digest is not None), key=_sequence)

    @property
    def members(self) -> list[Approval]:
        """Approvals of members documents, the desired one last."""
        return sorted((one for one in self.approvals.values() if one.members is not None), key=_sequence)

    @property
    def next_sequence(self) -> int:
        """The sequence of what is approved next."""
        return max((one.sequence for one in self.approvals.values()), default=0) + 1


def read_standing(store: Store, keys: Sequence[Key], *, tenant: str, fleet: str) -> Standing:
    """Return what was approved last; where `approved/` was lost, what `public/` has of it.

    Raises:
        RefusedError: it was not signed by any of these keys.
    """
    approved = layout.numbered(store, layout.approved(tenant, fleet))
    floor = max(approved.get(layout.RESTORED, [0]))
    for prefix, found in ((layout.approved(tenant, fleet), approved), (layout.metadata(tenant, fleet), None)):
        versions = found.get(releases.ROLE, []) if found is not None else layout.versions(store, prefix, releases.ROLE)
        if versions:
            data = store.get(f"{prefix}{versions[-1]}.{releases.ROLE}.json") or b""
            return replace(_standing(keys, tenant, fleet, data, versions[-1]), floor=floor)
    return Standing(version=0, signed=None, approvals={}, floor=floor)


def _standing(keys: Sequence[Key], tenant: str, fleet: str, data: bytes, version: int) -> Standing:
    for key in keys:
        with contextlib.suppress(RefusedError):
            read = releases.read(releases.delegating_to(key), tenant, fleet, data, version=version)
            return Standing(version=read.version, signed=read.signed, approvals=read.approvals, signed_by=key.keyid)
    releases.read(releases.delegating_to(*keys), tenant, fleet, data, version=version)
    message = f"releases {version} of {releases.fleet_name(tenant, fleet)}: none of our keys signed it alone"
    raise RefusedError(message)


def retained_for(store: Store, standing: Standing, release: Release, *, tenant: str, fleet: str) -> dict[str, TargetFile]:
    """Return what stays listed when a release is: the last few, it, and all that hosts of the fleet run or may go back to.

    Where nobody can tell what those are, since what is published is damaged, all stays that is listed.
    """
    try:
        wanted = returns(store, tenant, fleet)
    except RefusedError:
        return dict(standing.targets)

    def shards(members: int) -> set[str] | None:
        data = store.get(layout.approved(tenant, fleet, membership.target(members)))
        try:
            document = membership.decode(data or b"", fleet=releases.fleet_name(tenant, fleet), sequence=members)
        except MalformedError:
            return None
        return {membership.shard_target(digest) for digest in document.shards.digests.values()} if document.shards else set()

    return retained(standing, {release, *wanted}, shards)


def retained(standing: Standing, wanted: Collection[Release], shards: Callable[[int], set[str] | None]) -> dict[str, TargetFile]:
    """Return what stays listed when something new is: the last few, what is `wanted`, and the shards of the members that stay.

    `shards` returns the paths of those that a members document names, None where it can't be read. Only documents older than the last
    few are asked about: all that was used since the oldest of those stays anyway.
    """
    digests = {one.digest for one in standing.bundles[-(KEPT - 1) :]} | {release.digest for release in wanted}
    last, older = standing.members[-(KEPT - 1) :], standing.members[: -(KEPT - 1)]
    returned = [one for one in older if one.members in {release.members for release in wanted}]
    named = [shards(one.members or 0) for one in returned]
    unread = [one for one, found in zip(returned, named, strict=True) if found is None]
    oldest = min((one.sequence for one in (*last, *unread)), default=0)
    numbers = {one.members for one in (*last, *returned)}
    paths = {path for found in named if found for path in found}

    def stays(path: str, approval: Approval) -> bool:
        if approval.digest is not None:
            return approval.digest in digests
        if approval.members is not None:
            return approval.members in numbers
        return approval.sequence >= oldest or path in paths

    return {path: standing.targets[path] for path, approval in standing.approvals.items() if stays(path, approval)}


def _sequence(approval: Approval) -> int:
    return approval.sequence
