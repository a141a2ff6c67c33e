"""What a fleet's releases role lists: what was approved last, and what of it stays listed when more is approved.

Sequences of approvals are common to bundles and members, so the later of two approvals is always the greater.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from securesystemslib.signer import Key
from tuf.api.metadata import TargetFile, Targets

from agent.protocol.errors import RefusedError
from agent.protocol.rollout import Release
from reconciler.publication import layout, releases
from reconciler.publication.published import read_published
from reconciler.publication.releases import Approval
from reconciler.publication.store import Store

KEPT = 5
"""Bundles, and members documents, that stay listed for a return to them, beside all that a rollout document names."""


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


def named(store: Store, tenant: str, fleet: str) -> set[Release]:
    """Return the releases that the current rollout document names.

    The document is `serve`'s and not verified here: all it can do is keep listed what is listed already.
    """
    try:
        published = read_published(store, tenant, fleet)
    except RefusedError:
        return set()
    if published is None:
        return set()
    return {release for release in (published.document.stable, published.document.candidate) if release}


def retained(standing: Standing, wanted: set[Release]) -> dict[str, TargetFile]:
    """Return what stays listed when something new is: the last few, what is `wanted`, and the shards of the members that stay."""
    digests = {one.digest for one in standing.bundles[-(KEPT - 1) :]} | {release.digest for release in wanted}
    numbers = {one.members for one in standing.members[-(KEPT - 1) :]} | {release.members for release in wanted}
    oldest = min((one.sequence for one in standing.members if one.members in numbers), default=0)

    def stays(approval: Approval) -> bool:
        if approval.digest is not None:
            return approval.digest in digests
        if approval.members is not None:
            return approval.members in numbers
        return approval.sequence >= oldest

    return {path: standing.targets[path] for path, approval in standing.approvals.items() if stays(approval)}


def _sequence(approval: Approval) -> int:
    return approval.sequence
