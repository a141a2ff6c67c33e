"""The releases role of a fleet: which bundles and members are approved, and which of them is desired.

Each listed target says in `custom` when it was approved. The highest sequence among bundles and the highest among members make the
desired release; approving a digest again raises its sequence. Shards of members stand there too, with the sequence that last used them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile, Targets

from agent.protocol import bundle, membership
from agent.protocol.errors import MalformedError
from agent.protocol.rollout import Release
from agent.protocol.state import Struct
from reconciler.publication import layout, metadata
from reconciler.publication.store import Store
from reconciler.publication.trust import Trust

ROLE = "releases"
_SHARD = re.compile(r"members/([0-9a-f]{64})\.json")


class Approval(Struct):
    """A target's `custom`: a bundle has a `digest`, a members document its number as `members`, a shard neither.

    `sequence` counts the approvals of a fleet: those of a bundle and of members that were approved together have the same.
    """

    sequence: int
    commit: str
    decision: int
    additive: bool
    digest: str | None = None
    members: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """A releases role that was read and verified, with its bytes."""

    fleet: str
    data: bytes
    signed: Targets
    approvals: Mapping[str, Approval]

    @property
    def version(self) -> int:
        """Its version, which is also in its file's name."""
        return self.signed.version

    @property
    def bundle(self) -> tuple[str, Approval] | None:
        """The desired bundle's path and approval."""
        return self._highest(lambda approval: approval.digest is not None)

    @property
    def members(self) -> tuple[str, Approval] | None:
        """The desired members' path and approval."""
        return self._highest(lambda approval: approval.members is not None)

    @property
    def desired(self) -> Release | None:
        """The desired release, None if no bundle or no members are listed."""
        if self.bundle is None or self.members is None:
            return None
        digest, members = self.bundle[1].digest, self.members[1].members
        return None if digest is None or members is None else Release(digest=digest, members=members)

    @property
    def commit(self) -> str | None:
        """The commit of the desired release: of its bundle or of its members, whichever was approved last; agents say the same."""
        parts = [part[1] for part in (self.bundle, self.members) if part is not None]
        return max(parts, key=lambda approval: approval.sequence).commit if parts else None

    def lists(self, release: Release) -> bool:
        """Return whether a release may be offered: its bundle and its members are both listed."""
        there = {(one.digest, one.members) for one in self.approvals.values()}
        return {(release.digest, None), (None, release.members)} <= there

    def _highest(self, wanted: Callable[[Approval], bool]) -> tuple[str, Approval] | None:
        found = [item for item in self.approvals.items() if wanted(item[1])]
        return max(found, key=lambda item: item[1].sequence, default=None)


def fleet_name(tenant: str, fleet: str) -> str:
    """Return `<tenant>/<fleet>`: what `x-fleet` says."""
    return f"{tenant}/{fleet}"


def delegating_to(*keys: Key) -> Targets:
    """Return targets metadata that lets these keys alone sign releases: what a pipeline measures its own files by."""
    held = {key.keyid: key for key in keys}
    return Targets(delegations=Delegations(held, {ROLE: DelegatedRole(ROLE, list(held), 1, terminating=True, paths=[])}))


def read(delegator: Targets, tenant: str, fleet: str, data: bytes, *, version: int) -> Releases:
    """Verify the releases role of `fleet` (its own name) and return it; its expiry is not looked at.

    Raises:
        MalformedError: not a releases role, or one that lists what it must not.
        RefusedError: not signed by the tenant's releases key, another fleet's, or another version than its name says.
    """
    name = fleet_name(tenant, fleet)
    what = f"releases {version} of {name}"
    signed = metadata.verified(delegator, ROLE, data, Targets, what=what)
    metadata.require_mark(signed.unrecognized_fields, metadata.FLEET, name, what=what)
    if signed.version != version:
        message = f"{what}: it says version {signed.version}"
        raise MalformedError(message)
    approvals = {path: _approval(fleet, path, file, what) for path, file in signed.targets.items()}
    return Releases(fleet=name, data=data, signed=signed, approvals=approvals)


def read_newest(store: Store, trust: Trust, fleet: str) -> Releases | None:
    """Read the newest approved releases role of a fleet, None if there is none yet; raise as `read` does."""
    found = layout.versions(store, layout.approved(trust.tenant, fleet), ROLE)
    data = store.get(layout.approved(trust.tenant, fleet, f"{found[-1]}.{ROLE}.json")) if found else None
    return None if data is None else read(trust.targets, trust.tenant, fleet, data, version=found[-1])


def _approval(fleet: str, path: str, file: TargetFile, what: str) -> Approval:
    try:
        approval = msgspec.convert(file.custom, Approval, strict=True)
    except msgspec.ValidationError as error:
        message = f"{what}: {path}: {error}"
        raise MalformedError(message) from error
    if path != _path(fleet, path, approval) or set(file.hashes) != {"sha256"}:
        message = f"{what}: {path} is not where such a target belongs, or is hashed otherwise than by SHA-256"
        raise MalformedError(message)
    return approval


def _path(fleet: str, path: str, approval: Approval) -> str | None:
    if approval.digest is not None:
        return bundle.target(fleet, approval.digest)
    if approval.members is not None:
        return membership.target(approval.members)
    shard = _SHARD.fullmatch(path)
    return membership.shard_target(shard[1]) if shard else None
