"""Publish: a fleet's approved release and its rollout document become what agents may fetch, under `public/<tenant>/<fleet>/`.

Order of writing: copies of targets metadata and of verified releases with their targets, the rollout document, rollouts, snapshot, roots
(each only if absent), then the timestamp by replace-if-version. Before those last two all that is new is read back as an agent would read
it, so an agent never meets a broken repository, whichever step was the last before a crash. (After one between a root with another
timestamp key and the first timestamp of that key, agents wait for the next start.) A release that stands was read back when it was first
listed, and its copies are looked at again with each renewal. Of two publishers at once the timestamp takes one; the other stops with
`LostRaceError`. Versions only grow; an unchanged state publishes nothing. What a rotated key signed is published
anew, under numbers far above all that honest hands may have reached.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from securesystemslib.signer import Signer
from tuf.api.metadata import MetaFile, Snapshot, TargetFile, Timestamp

from agent.protocol import codec, faults, rollout
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.rollout import RolloutDocument
from reconciler.control.readback import read_back
from reconciler.control.records import Floors
from reconciler.publication import layout, metadata
from reconciler.publication.keys import KeyRing
from reconciler.publication.published import Published
from reconciler.publication.releases import Releases, fleet_name
from reconciler.publication.store import Store
from reconciler.publication.trust import Trust

PLACES = (
    "publish:after-trust",
    "publish:before-targets",
    "publish:after-targets",
    "publish:after-releases",
    "publish:after-document",
    "publish:after-rollouts",
    "publish:after-snapshot",
    "publish:after-roots",
    "publish:before-timestamp",
    "publish:after-timestamp",
)
"""Where a crash test may kill the control zone here: before and after each durable write."""

TRIES = 100
"""Version numbers to step over that crashes left taken; each crash at the worst place leaves one."""
ORDER = ("timestamp", "snapshot", "rollouts")
"""Each refers to the next, so that a new one makes those before it due."""
ALL_DUE = frozenset(ORDER)


AHEAD_LIMIT = timedelta(days=7)
"""By how much our clock may be behind what it signed before, and time goes on from there: more needs another timestamp key."""


class LostRaceError(RetryError):
    """Another publisher was faster: stop, and look again at what stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineKeys:
    """The signers of what `serve` signs itself, for one tenant."""

    rollouts: Signer
    snapshot: Signer
    timestamp: Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What publishing one fleet works with; `fleet` is its own name."""

    store: Store
    trust: Trust
    keys: OnlineKeys
    fleet: str
    freshness: timedelta
    now: datetime
    leads: Callable[[], object] = lambda: None
    """Raises `LostError` where this process does not lead any more: asked right before agents are told, however long it stood still."""

    @property
    def name(self) -> str:
        """`<tenant>/<fleet>`."""
        return fleet_name(self.trust.tenant, self.fleet)

    def metadata_key(self, name: str) -> str:
        """Return the key of a published metadata file."""
        return layout.metadata(self.trust.tenant, self.fleet, name)

    def target_key(self, path: str, sha256: str) -> str:
        """Return the key of a published target."""
        return layout.target(self.trust.tenant, self.fleet, path, sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What stands published afterwards, whether this call changed it, and when it must be looked at again."""

    document: RolloutDocument
    floors: Floors
    changed: bool
    due: datetime


def online_keys(ring: KeyRing, trust: Trust) -> OnlineKeys:
    """Return a tenant's signers; raise `RefusedError` if they are not the ones that its trust names."""
    allowed = {
        "rollouts": [key.keyid for key in trust.keys("rollouts")],
        "snapshot": trust.root.roles[Snapshot.type].keyids,
        "timestamp": trust.root.roles[Timestamp.type].keyids,
    }
    named_by = f"trust/{trust.tenant}"
    signers = {role: ring.signer_among(f"{trust.tenant}/{role}", keyids, named_by=named_by) for role, keyids in allowed.items()}
    return OnlineKeys(**signers)


def publish_fleet(
    work: Work,
    *,
    releases: Releases,
    document: RolloutDocument,
    standing: Published | None,
    floors: Floors,
    stored: str | None,
    unsigned: frozenset[str] = frozenset(),
) -> Publication:
    """Publish what is approved and decided for a fleet; write nothing where all of it stands and is fresh.

    `standing` is what stands published, None if nothing usable does; `stored` the version of the timestamp's file in the store;
    `unsigned` says which of its roles are not signed by the keys of now.

    Raises:
        LostRaceError: another publisher was faster.
        LostError: as `work.leads`.
        RefusedError: what is approved is expired or damaged, or what was written can't be read back.
    """
    work = _not_before(work, standing, unsigned)
    _require_live(work, releases, None if "snapshot" in unsigned else standing)
    anew = _is_anew(work, standing, floors)
    due = ALL_DUE if standing is None or anew else _due(work, releases, document, standing) | _before(unsigned)
    if standing is not None and not due:
        return Publication(document=document, floors=floors, changed=False, due=standing.signed_at + metadata.renewal(work.freshness))
    with work.store.together():  # none of these is named by anything yet, and all are there for keeps before the timestamp moves
        _put(work, work.metadata_key(f"{work.trust.targets.version}.targets.json"), work.trust.targets_data)
        faults.reached("publish:after-trust")
        if standing is None or unsigned or not _is_wave(releases, document, standing):
            _copy_releases(work, releases)
        rollouts = _write_rollouts(work, document, floors) if standing is None or "rollouts" in due else standing.file("rollouts")
        if standing is None or "snapshot" in due:
            snapshot = _write_snapshot(work, releases, rollouts, floors)
        else:
            snapshot = standing.timestamp.snapshot_meta
    timestamp = _sign_timestamp(work, snapshot, floors)
    _read_back(work, releases, document, timestamp, None if anew or "timestamp" in unsigned else standing)
    _copy_roots(work)
    _move_timestamp(work, timestamp, stored)
    reached = Floors(
        timestamp=floors.timestamp + 1,
        snapshot=snapshot.version,
        rollouts=rollouts.version,
        serial=document.serial,
        epoch=document.epoch,
    )
    return Publication(document=document, floors=reached, changed=True, due=work.now + metadata.renewal(work.freshness))


def _not_before(work: Work, standing: Published | None, unsigned: frozenset[str]) -> Work:
    """Return work at a time no earlier than what stands was signed: agents have seen that time, and judge by it what expires.

    Else whoever mends a clock that was ahead would have all of them wait until the right time has caught up.
    """
    if standing is None or "timestamp" in unsigned or not timedelta() < standing.signed_at - work.now <= AHEAD_LIMIT:
        return work
    return replace(work, now=standing.signed_at)


def _require_live(work: Work, releases: Releases, standing: Published | None) -> None:
    what = f"releases {releases.version} of {work.name}"
    if releases.signed.is_expired(work.now):
        message = f"{what}: expired on {releases.signed.expires:%Y-%m-%d}; `ordain reconcile` renews them long before, see whether it runs"
        raise RefusedError(message)
    if standing is not None and releases.version < standing.file("releases").version:
        message = (
            f"{what}: version {standing.file('releases').version} is published already, and numbers only grow; "
            "was approved/ restored from a backup?"
        )
        raise RefusedError(message)


def _is_anew(work: Work, standing: Published | None, floors: Floors) -> bool:
    """Return whether all is written: nothing usable stands, or less than what was reached, or not by the newest root."""
    newest_root = work.metadata_key(f"{work.trust.root.version}.root.json")
    return standing is None or floors.timestamp > standing.timestamp.version or work.store.version(newest_root) is None


def _due(work: Work, releases: Releases, document: RolloutDocument, standing: Published) -> frozenset[str]:
    """Return which of the parts must be written; each brings those that refer to it."""
    life = metadata.ONLINE_FACTOR * work.freshness
    due: set[str] = set()
    if (standing.file("releases").version, standing.file("targets").version) != (releases.version, work.trust.targets.version):
        due |= {"snapshot", "timestamp"}
    if document != standing.document or metadata.half_over(standing.rollouts, life, work.now):
        due |= {"rollouts", "snapshot", "timestamp"}
    if metadata.half_over(standing.snapshot, life, work.now):
        due |= {"snapshot", "timestamp"}
    lapses = standing.timestamp.expires - standing.signed_at
    if lapses != work.freshness or work.now >= standing.signed_at + metadata.renewal(work.freshness):
        due |= {"timestamp"}
    return frozenset(due)


def _is_wave(releases: Releases, document: RolloutDocument, standing: Published) -> bool:
    """Return whether only the rollout document is another: then nothing is copied, so a wave costs the same however many hosts there are.

    Copies are looked at, and mended, with each new release and whenever what stands is signed anew.
    """
    listed = metadata.meta_file(releases.version, releases.data)
    return document != standing.document and standing.file("releases") == listed


def _before(unsigned: frozenset[str]) -> frozenset[str]:
    """Return the roles that must be written where these are not signed by the keys of now."""
    return frozenset(role for last in unsigned for role in ORDER[: ORDER.index(last) + 1])


def _roots(work: Work) -> dict[str, bytes]:
    return {work.metadata_key(f"{version}.root.json"): data for version, data in enumerate(work.trust.roots, start=1)}


def _copy_roots(work: Work) -> None:
    for key, data in _roots(work).items():
        _put(work, key, data)
    faults.reached("publish:after-roots")


def _copy_releases(work: Work, releases: Releases) -> None:
    """Copy verified releases, after all that they list; copies that were damaged are mended, bytes that nobody signed never copied."""
    faults.reached("publish:before-targets")
    present = set(work.store.list(layout.targets(work.trust.tenant, work.fleet)))
    for path, file in releases.signed.targets.items():
        sha256 = file.hashes["sha256"]
        key = work.target_key(path, sha256)
        data = work.store.get(key) if key in present else None
        if not _is_signed(data, file):
            data = work.store.get(layout.approved(work.trust.tenant, work.fleet, path))
        if data is None or not _is_signed(data, file):
            message = f"{layout.approved(work.trust.tenant, work.fleet, path)}: missing, or not the bytes that were approved; restore it"
            raise RefusedError(message)
        _put(work, key, data)
    faults.reached("publish:after-targets")
    _put(work, work.metadata_key(f"{releases.version}.releases.json"), releases.data)
    faults.reached("publish:after-releases")


def _is_signed(data: bytes | None, file: TargetFile) -> bool:
    return data is not None and len(data) == file.length and hmac.compare_digest(codec.sha256(data), file.hashes["sha256"])


def _put(work: Work, key: str, data: bytes) -> None:
    """Put verified bytes where only they belong; other bytes there are damage, and are mended."""
    if work.store.create(key, data):
        return
    found = work.store.get_versioned(key)
    if (found is None or found[0] != data) and not work.store.replace(key, data, found[1] if found else None):
        raise _lost(key)


def _write_rollouts(work: Work, document: RolloutDocument, floors: Floors) -> MetaFile:
    data = codec.canonical(document)
    path = rollout.target(work.fleet)
    _put(work, work.target_key(path, codec.sha256(data)), data)
    faults.reached("publish:after-document")
    listed = {path: metadata.target_file(path, data)}
    expires = work.now + metadata.ONLINE_FACTOR * work.freshness

    def signed(version: int) -> bytes:
        return metadata.sign(metadata.role(work.name, listed, version=version, expires=expires), [work.keys.rollouts])

    written = _write_next(work, "rollouts", floors.rollouts, signed)
    faults.reached("publish:after-rollouts")
    return written


def _write_snapshot(work: Work, releases: Releases, rollouts: MetaFile, floors: Floors) -> MetaFile:
    roles = {"releases": metadata.meta_file(releases.version, releases.data), "rollouts": rollouts}
    expires = work.now + metadata.ONLINE_FACTOR * work.freshness

    def signed(version: int) -> bytes:
        snapshot = metadata.snapshot(work.name, targets_version=work.trust.targets.version, roles=roles, version=version, expires=expires)
        return metadata.sign(snapshot, [work.keys.snapshot])

    written = _write_next(work, "snapshot", floors.snapshot, signed)
    faults.reached("publish:after-snapshot")
    return written


def _write_next(work: Work, role: str, after: int, signed: Callable[[int], bytes]) -> MetaFile:
    """Write a role under the next free version; numbers that a crash left taken are stepped over."""
    for version in range(after + 1, after + 1 + TRIES):
        data = signed(version)
        if work.store.create(work.metadata_key(f"{version}.{role}.json"), data):
            return metadata.meta_file(version, data)
    raise _lost(work.metadata_key(f"{after + TRIES}.{role}.json"))


def _sign_timestamp(work: Work, snapshot: MetaFile, floors: Floors) -> bytes:
    timestamp = metadata.timestamp(
        work.name, snapshot_file=snapshot, version=floors.timestamp + 1, expires=work.now + work.freshness, now=work.now
    )
    return metadata.sign(timestamp, [work.keys.timestamp])


def _read_back(work: Work, releases: Releases, document: RolloutDocument, timestamp: bytes, standing: Published | None) -> None:
    path = rollout.target(work.fleet)
    wanted = {path: codec.sha256(codec.canonical(document))}
    if standing is None or standing.file("releases") != metadata.meta_file(releases.version, releases.data):
        desired = [found[0] for found in (releases.bundle, releases.members) if found is not None]
        wanted |= {path: releases.signed.targets[path].hashes["sha256"] for path in desired}
    overlay = {**_roots(work), work.metadata_key("timestamp.json"): timestamp}
    read_back(work.store, work.name, root=work.trust.roots[0], overlay=overlay, standing=standing, targets=wanted, now=work.now)


def _move_timestamp(work: Work, timestamp: bytes, stored: str | None) -> None:
    key = work.metadata_key("timestamp.json")
    faults.reached("publish:before-timestamp")
    work.leads()
    if not work.store.replace(key, timestamp, stored):
        raise _lost(key)
    faults.reached("publish:after-timestamp")


def _lost(key: str) -> LostRaceError:
    message = f"{key}: another publisher was faster; is a second `ordain serve` at work on this store?"
    return LostRaceError(message)
