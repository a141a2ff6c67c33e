"""Approve: what passes from the pipeline to the control zone, signed with a tenant's releases key, under `approved/<tenant>/`.

Order of writing: bundle, members, their shards, and last `<N>.releases.json`, which lists them: each only if absent. So a crash
between any two leaves files that nothing lists yet, and the next call goes on from there. Bytes once stored are reused after their
content was verified, never compressed again. Versions and sequences only grow, on an empty disk too: they go on from what the store says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from securesystemslib.signer import Signer
from tuf.api.metadata import TargetFile, Targets

from agent.protocol import bundle, codec, faults, membership
from agent.protocol.errors import MalformedError, RefusedError, RetryError
from agent.protocol.membership import Member
from agent.protocol.rollout import Release
from reconciler.publication import controls as control_files
from reconciler.publication import layout, metadata, releases
from reconciler.publication.controls import Controls
from reconciler.publication.published import read_published
from reconciler.publication.releases import Approval
from reconciler.publication.store import Store

PLACES = (
    "approve:before-bundle",
    "approve:after-bundle",
    "approve:after-members",
    "approve:after-shards",
    "approve:after-releases",
    "approve:before-controls",
    "approve:after-controls",
)
"""Where a crash test may kill the pipeline here: before and after each durable write."""

KEPT = 5
"""Bundles, and members documents, that stay listed for a return to them, beside all that a rollout document names."""
TRIES = 100
"""Taken version numbers to step over: one is left behind by each crash at the worst place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What stands approved for a fleet: its desired release, the version of its releases role, and whether this call wrote it."""

    release: Release
    version: int
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """What was approved last: the highest version, and what it lists."""

    version: int
    targets: Mapping[str, TargetFile]
    approvals: Mapping[str, Approval]
    signed: Targets | None

    def newest_bundle(self) -> Approval | None:
        return max((one for one in self.approvals.values() if one.digest is not None), key=_sequence, default=None)

    def newest_members(self) -> Approval | None:
        return max((one for one in self.approvals.values() if one.members is not None), key=_sequence, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """The fleet at hand, and what its new targets are marked with."""

    store: Store
    signer: Signer
    tenant: str
    fleet: str
    commit: str
    decision: int

    @property
    def name(self) -> str:
        return releases.fleet_name(self.tenant, self.fleet)

    def approval(self, sequence: int, *, additive: bool = False, digest: str | None = None, members: int | None = None) -> Approval:
        return Approval(sequence=sequence, commit=self.commit, decision=self.decision, additive=additive, digest=digest, members=members)

    def key(self, path: str) -> str:
        return layout.approved(self.tenant, self.fleet, path)


def approve_release(
    store: Store,
    signer: Signer,
    *,
    tenant: str,
    fleet: str,
    data: bytes,
    digest: str,
    pools: Mapping[str, Member],
    agents: Mapping[str, Member],
    commit: str,
    decision: int,
    freshness_seconds: int,
    now: datetime,
) -> Approved:
    """Make a bundle and members the desired release of a fleet; write nothing where they already are.

    `fleet` is the fleet's own name, `data` the canonical `data.json` with this digest, `signer` the tenant's releases key.

    Raises:
        RefusedError: what stands approved was not signed by this key, or stored bytes are not what they should be.
        RetryError: somebody else approves at the same time, or the store can't be written.
    """
    work = _Fleet(store=store, signer=signer, tenant=tenant, fleet=fleet, commit=commit, decision=decision)
    standing = _read_standing(work)
    bundles = _approve_bundle(work, standing, data, digest)
    sequence, members = _approve_members(work, standing, dict(pools), dict(agents))
    release = Release(digest=digest, members=sequence)
    if not bundles and not members:
        return Approved(release=release, version=standing.version, changed=False)
    listed = _retained(work, standing, release) | bundles | members
    version = _write_releases(work, listed, after=standing.version, life=_life(freshness_seconds), now=now)
    return Approved(release=release, version=version, changed=True)


def renew_releases(store: Store, signer: Signer, *, tenant: str, fleet: str, freshness_seconds: int, now: datetime) -> bool:
    """Sign a fleet's releases again when half of their life is over; return whether that was done. Raises as `approve_release`."""
    work = _Fleet(store=store, signer=signer, tenant=tenant, fleet=fleet, commit="", decision=0)
    standing = _read_standing(work)
    life = _life(freshness_seconds)
    if standing.signed is None or not metadata.half_over(standing.signed, life, now):
        return False
    _write_releases(work, standing.targets, after=standing.version, life=life, now=now)
    return True


def write_controls(store: Store, signer: Signer, controls: Controls, *, now: datetime) -> Controls:
    """Write a tenant's controls with the next sequence and a new expiry, unless nothing else would change and expiry is far.

    `sequence` and `expires` of what is passed in are ignored; another `head` or `decision` alone is no change. Return what stands in
    the store afterwards.

    Raises:
        RefusedError: what stands there was not signed by this key.
        RetryError: somebody else writes at the same time, or the store can't be written.
    """
    key = layout.controls(controls.tenant)
    found = store.get_versioned(key)
    standing = control_files.read(found[0], [signer.public_key], tenant=controls.tenant) if found else None
    if standing and control_files.same(standing, controls) and not control_files.half_over(standing, now):
        return standing
    signed = msgspec.structs.replace(
        controls, sequence=(standing.sequence if standing else 0) + 1, expires=control_files.expiry(now), format=control_files.FORMAT
    )
    faults.reached("approve:before-controls")
    if not store.replace(key, control_files.write(signed, signer), found[1] if found else None):
        raise _taken(key)
    faults.reached("approve:after-controls")
    return signed


def _life(freshness_seconds: int) -> timedelta:
    return metadata.releases_life(timedelta(seconds=freshness_seconds))


def _sequence(approval: Approval) -> int:
    return approval.sequence


def _read_standing(work: _Fleet) -> _Standing:
    """Return what was approved last; where `approved/` was lost, what `public/` has of it (signed by this same key)."""
    for prefix in (layout.approved(work.tenant, work.fleet), layout.metadata(work.tenant, work.fleet)):
        found = layout.versions(work.store, prefix, releases.ROLE)
        if found:
            data = work.store.get(f"{prefix}{found[-1]}.{releases.ROLE}.json") or b""
            delegator = releases.delegating_to(work.signer.public_key)
            read = releases.read(delegator, work.tenant, work.fleet, data, version=found[-1])
            return _Standing(version=read.version, targets=read.signed.targets, approvals=read.approvals, signed=read.signed)
    return _Standing(version=0, targets={}, approvals={}, signed=None)


def _approve_bundle(work: _Fleet, standing: _Standing, data: bytes, digest: str) -> dict[str, TargetFile]:
    """Store a bundle and return its target, nothing if it is the desired one already."""
    newest = standing.newest_bundle()
    if newest is not None and newest.digest == digest:
        return {}
    path = bundle.target(work.fleet, digest)
    faults.reached("approve:before-bundle")
    packed = _store_bundle(work, path, data, digest)
    faults.reached("approve:after-bundle")
    approval = work.approval((newest.sequence if newest else 0) + 1, digest=digest)
    return {path: _target(path, packed, approval)}


def _store_bundle(work: _Fleet, path: str, data: bytes, digest: str) -> bytes:
    stored = work.store.get(work.key(path))
    if stored is None:
        packed = bundle.pack(data)
        if work.store.create(work.key(path), packed):
            return packed
        stored = work.store.get(work.key(path)) or b""
    bundle.unpack(stored, digest=digest)
    return stored


def _approve_members(
    work: _Fleet, standing: _Standing, pools: dict[str, Member], agents: dict[str, Member]
) -> tuple[int, dict[str, TargetFile]]:
    """Store members and their shards; return their sequence and targets, no targets if they are the desired ones already."""
    newest = standing.newest_members()
    last = newest.members or 0 if newest else 0
    if last and _are_standing(work, standing, last, pools, agents):
        return last, {}
    sequence = last + 1
    document, shards = membership.split(work.name, sequence, pools, agents)
    data = codec.canonical(document)
    path, sequence, data = _store_members(work, sequence, data)
    faults.reached("approve:after-members")
    approval = work.approval(sequence, additive=_is_additive(work, last, pools, agents), members=sequence)
    listed = {path: _target(path, data, approval)}
    for digest, shard in shards.items():
        shard_path = membership.shard_target(digest)
        _store_exactly(work, shard_path, shard)
        listed[shard_path] = _target(shard_path, shard, work.approval(sequence))
    faults.reached("approve:after-shards")
    return sequence, listed


def _are_standing(work: _Fleet, standing: _Standing, last: int, pools: dict[str, Member], agents: dict[str, Member]) -> bool:
    document, _ = membership.split(work.name, last, pools, agents)
    listed = standing.targets[membership.target(last)]
    return listed.hashes["sha256"] == codec.sha256(codec.canonical(document))


def _store_members(work: _Fleet, sequence: int, data: bytes) -> tuple[str, int, bytes]:
    """Store a members document; step over numbers that a crash left with other members and that nothing lists."""
    for number in range(sequence, sequence + TRIES):
        document = msgspec.structs.replace(membership.decode(data, fleet=work.name, sequence=sequence), sequence=number)
        encoded = codec.canonical(document)
        path = membership.target(number)
        if work.store.create(work.key(path), encoded) or work.store.get(work.key(path)) == encoded:
            return path, number, encoded
    raise _taken(work.key(membership.target(sequence)))


def _store_exactly(work: _Fleet, path: str, data: bytes) -> None:
    if not work.store.create(work.key(path), data) and work.store.get(work.key(path)) != data:
        message = f"{work.key(path)}: holds other bytes than its name says; restore or remove it"
        raise MalformedError(message)


def _is_additive(work: _Fleet, last: int, pools: dict[str, Member], agents: dict[str, Member]) -> bool:
    """Return whether no member that is present before and after moves to another group."""
    if not last:
        return True
    before = membership.decode(work.store.get(work.key(membership.target(last))) or b"", fleet=work.name, sequence=last)
    moved = (name for name, member in before.pools.items() if name in pools and pools[name].group != member.group)
    left = (name for name, member in _agents(work, before) if name in agents and agents[name].group != member.group)
    return not any(moved) and not any(left)


def _agents(work: _Fleet, members: membership.Members) -> Iterator[tuple[str, Member]]:
    yield from members.agents.items()
    for digest in members.shards.digests.values() if members.shards else ():
        data = work.store.get(work.key(membership.shard_target(digest))) or b""
        yield from membership.decode_shard(data, fleet=work.name, digest=digest).agents.items()


def _target(path: str, data: bytes, approval: Approval) -> TargetFile:
    return metadata.target_file(path, data, msgspec.to_builtins(approval))


def _retained(work: _Fleet, standing: _Standing, release: Release) -> dict[str, TargetFile]:
    """Return what stays listed: the last few, what a rollout document names, and the shards of the members that stay."""
    named = _named(work) | {release}
    bundles = {one.digest for one in _last(standing, "digest")} | {one.digest for one in named}
    members = {one.members for one in _last(standing, "members")} | {one.members for one in named}
    oldest = min(number for number in members if number is not None)
    kept = {}
    for path, approval in standing.approvals.items():
        is_shard = approval.digest is None and approval.members is None
        if approval.digest in bundles - {None} or approval.members in members - {None} or (is_shard and approval.sequence >= oldest):
            kept[path] = standing.targets[path]
    return kept


def _last(standing: _Standing, kind: str) -> list[Approval]:
    found = sorted((one for one in standing.approvals.values() if getattr(one, kind) is not None), key=_sequence)
    return found[-(KEPT - 1) :]


def _named(work: _Fleet) -> set[Release]:
    """Return the releases that the current rollout document names; it is `serve`'s, so it only ever keeps what is listed already."""
    try:
        published = read_published(work.store, work.tenant, work.fleet)
    except RefusedError:
        return set()
    if published is None:
        return set()
    return {release for release in (published.document.stable, published.document.candidate) if release}


def _write_releases(work: _Fleet, listed: Mapping[str, TargetFile], *, after: int, life: timedelta, now: datetime) -> int:
    """Write the next version of the releases role; return its number."""
    role = metadata.role(work.name, listed, version=after + 1, expires=now + life)
    key = work.key(f"{role.version}.{releases.ROLE}.json")
    if not work.store.create(key, metadata.sign(role, [work.signer])):
        raise _taken(key)
    faults.reached("approve:after-releases")
    return role.version


def _taken(what: str) -> RetryError:
    message = f"{what}: somebody else wrote it just now; is a second `ordain reconcile` at work on this store?"
    return RetryError(message)
