"""Approve: what passes from the pipeline to the control zone, signed with a tenant's releases key, under `approved/<tenant>/`.

Order of writing: bundle, members, their shards, and last `<N>.releases.json`, which lists them: each only if absent. So a crash
between any two leaves files that nothing lists yet, and the next call goes on from there. Bytes once stored are reused after their
content was verified, never compressed again. Versions and sequences only grow, on an empty disk too: they go on from what the store says.

`ordain gc` may remove what nothing listed just as it is listed again. It looks at the list after it removes, and here it is looked
whether all is there after the list was written: so whoever is second puts it back.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import TargetFile

from agent.protocol import bundle, codec, faults
from agent.protocol.errors import RetryError
from agent.protocol.membership import Member
from agent.protocol.rollout import Release
from reconciler.pipeline.approve_members import is_additive, same_members, store_members
from reconciler.pipeline.listing import Standing, read_standing, retained_for
from reconciler.publication import controls as control_files
from reconciler.publication import envelope, layout, metadata, releases
from reconciler.publication.controls import Controls
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


FEW = 4
"""Files that are looked for one by one; more of them, shards of members, by one listing."""
_Files = dict[str, tuple[TargetFile, bytes]]
"""What is listed anew, by path, and its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What stands approved for a fleet: its desired release, the version of its releases role, and whether this call wrote it."""

    release: Release
    version: int
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The fleet at hand, what stands approved, and what new targets are marked with."""

    store: Store
    signer: Signer
    tenant: str
    fleet: str
    standing: Standing
    commit: str = ""
    decision: int = 0

    @property
    def name(self) -> str:
        return releases.fleet_name(self.tenant, self.fleet)

    def target(
        self, path: str, data: bytes, *, additive: bool = False, digest: str | None = None, members: int | None = None
    ) -> TargetFile:
        """Return what the releases role says about a target that is approved now."""
        approval = Approval(
            sequence=self.standing.next_sequence,
            commit=self.commit,
            decision=self.decision,
            additive=additive,
            digest=digest,
            members=members,
        )
        return metadata.target_file(path, data, msgspec.to_builtins(approval))


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
    known: Sequence[Key] = (),
) -> Approved:
    """Make a bundle and members the desired release of a fleet; write nothing where they already are.

    `fleet` is the fleet's own name, `data` the canonical `data.json` with this digest, `signer` the tenant's releases key, `known` the
    keys that may have signed what stands (by default that one alone).

    Raises:
        RefusedError: what stands approved was not signed by a known key, or stored bytes are not what they should be.
        RetryError: somebody else approves at the same time, or the store can't be written.
    """
    standing = read_standing(store, known or [signer.public_key], tenant=tenant, fleet=fleet)
    work = _Work(store=store, signer=signer, tenant=tenant, fleet=fleet, standing=standing, commit=commit, decision=decision)
    files = _approve_bundle(work, data, digest)
    number, members = _approve_members(work, pools, agents)
    files |= members
    release = Release(digest=digest, members=number)
    if not files:
        return Approved(release=release, version=standing.version, changed=False)
    listed = retained_for(store, standing, release, tenant=tenant, fleet=fleet) | {path: target for path, (target, _) in files.items()}
    version = _write_releases(work, listed, life=_life(freshness_seconds), now=now)
    _see_there(work, files)
    return Approved(release=release, version=version, changed=True)


def renew_releases(
    store: Store, signer: Signer, *, tenant: str, fleet: str, freshness_seconds: int, now: datetime, known: Sequence[Key] = ()
) -> bool:
    """Sign a fleet's releases again when half of their life is over, another key signed them, or they were restored from a backup.

    Return whether that was done.

    Raises as `approve_release`.
    """
    standing = read_standing(store, known or [signer.public_key], tenant=tenant, fleet=fleet)
    life = _life(freshness_seconds)
    if standing.signed is None:
        return False
    if not standing.restored and standing.signed_by == signer.public_key.keyid and not metadata.half_over(standing.signed, life, now):
        return False
    work = _Work(store=store, signer=signer, tenant=tenant, fleet=fleet, standing=standing)
    _write_releases(work, standing.targets, life=life, now=now)
    return True


def write_controls(
    store: Store,
    signer: Signer,
    controls: Controls,
    *,
    now: datetime,
    known: Sequence[Key] = (),
    coming: Callable[[], Collection[str]] = tuple,
) -> Controls:
    """Write a tenant's controls with the next sequence and a new expiry, unless nothing else would change and expiry is far.

    What another of the `known` keys signed is written again. `coming` is asked only for controls that are written: it returns the fleets
    of which another release is approved next, which goes by them; what went by those before waits for it.
    `sequence` and `expires` of what is passed in are ignored; another `head` or `decision` alone is no change. Return what stands in
    the store afterwards.

    Raises:
        RefusedError: what stands there was not signed by a known key.
        RetryError: somebody else writes at the same time, or the store can't be written.
    """
    key = layout.controls(controls.tenant)
    found = store.get_versioned(key)
    keys = known or [signer.public_key]
    standing = control_files.read(found[0], keys, tenant=controls.tenant) if found else None
    ours = found is not None and (len(keys) == 1 or envelope.is_signed_by(found[0], signer.public_key))
    fresh = standing is not None and ours and not control_files.half_over(standing, now)
    if standing and fresh and control_files.same(standing, controls):
        return standing
    controls = control_files.announcing(controls, coming())
    if standing and fresh and control_files.same(standing, controls):
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


def _approve_bundle(work: _Work, data: bytes, digest: str) -> _Files:
    """Store a bundle and return it, nothing if it is the desired one already, and there."""
    path = bundle.target(work.fleet, digest)
    key = layout.approved(work.tenant, work.fleet, path)
    desired = bool(work.standing.bundles) and work.standing.bundles[-1].digest == digest
    if desired and work.store.size(key) is not None:
        return {}
    faults.reached("approve:before-bundle")
    packed = _store_bundle(work.store, key, data, digest)
    faults.reached("approve:after-bundle")
    if desired and work.standing.targets[path].hashes["sha256"] == codec.sha256(packed):
        return {}
    return {path: (work.target(path, packed, digest=digest), packed)}


def _see_there(work: _Work, files: _Files) -> None:
    """Put back what was removed of newly listed files since they were found in the store."""
    prefix = layout.approved(work.tenant, work.fleet)
    there = set(work.store.list(prefix)) if len(files) > FEW else {prefix + path for path in files if work.store.size(prefix + path)}
    for path, (_, data) in files.items():
        if prefix + path not in there:
            work.store.create(prefix + path, data)


def _store_bundle(store: Store, key: str, data: bytes, digest: str) -> bytes:
    stored = store.get(key)
    packed = bundle.pack(data) if stored is None else stored
    if store.create(key, packed):  # what stands there is asked for as well: from here on it is there for keeps
        return packed
    stored = store.get(key) or b""
    bundle.unpack(stored, digest=digest)
    return stored


def _approve_members(work: _Work, pools: Mapping[str, Member], agents: Mapping[str, Member]) -> tuple[int, _Files]:
    """Store members and return their number and files, no files if they are the desired ones already."""
    number = same_members(work.standing, work.name, pools, agents)
    if number is not None:
        return number, {}
    last = work.standing.members[-1].members or 0 if work.standing.members else 0
    number, files = store_members(work.store, tenant=work.tenant, fleet=work.fleet, after=last, pools=pools, agents=agents)
    additive = is_additive(work.store, tenant=work.tenant, fleet=work.fleet, last=last, pools=pools, agents=agents)
    (path, data), *shards = files.items()
    listed = {path: (work.target(path, data, additive=additive, members=number), data)}
    return number, listed | {path: (work.target(path, data), data) for path, data in shards}


def _write_releases(work: _Work, listed: Mapping[str, TargetFile], *, life: timedelta, now: datetime) -> int:
    """Write the next version of the releases role; return its number."""
    role = metadata.role(work.name, listed, version=work.standing.next_version, expires=now + life)
    key = layout.approved(work.tenant, work.fleet, f"{role.version}.{releases.ROLE}.json")
    if not work.store.create(key, metadata.sign(role, [work.signer])):
        raise _taken(key)
    faults.reached("approve:after-releases")
    return role.version


def _taken(what: str) -> RetryError:
    message = f"{what}: somebody else wrote it just now; is a second `ordain reconcile` at work on this store?"
    return RetryError(message)
