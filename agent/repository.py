"""One fleet's TUF repository as its agent sees it: fetched, verified, and never older than what was seen.

The order is the specification's, with floors put in between: newer roots first, then the floors that the keys of the
newest root still have, then the time (never before the latest signed one), and only then timestamp, snapshot and roles.
https://theupdateframework.github.io/specification/latest/#detailed-client-workflow
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import msgspec
from tuf.api import exceptions
from tuf.api.metadata import Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater

from agent import floors as floors_of
from agent.fetcher import CheckedFetcher, Http
from agent.floors import Floors, Mark, floor, raised
from agent.protocol import bundle, codec, durable, faults, membership, rollout
from agent.protocol.bundle import Bundle
from agent.protocol.errors import MalformedError, RefusedError, RetryError
from agent.protocol.membership import Member
from agent.protocol.rollout import Release, RolloutDocument

DIGEST = re.compile(r"[0-9a-f]{64}")
DEVELOPMENT_FIELD = "x-development"
SIGNED_AT_FIELD = "x-signed-at"


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


class _Client(Updater):
    """python-tuf's client with one step between roots and timestamp."""

    def load_root(self) -> Root:
        """Take over all newer roots and return the newest."""
        self._load_root()
        return self._trusted_set.root

    def load_rest(self, reference: datetime) -> None:
        """Take over timestamp, snapshot and targets as they are valid at `reference`."""
        self._trusted_set.reference_time = reference
        self._load_timestamp()
        self._load_snapshot()
        self._load_targets(Targets.type, Root.type)

    def trusted(self, role: str) -> Signed:
        """Return verified metadata that was loaded before."""
        return self._trusted_set[role]


class Repository:
    """One fleet's repository for one poll: the TUF client refreshes once in its life."""

    def __init__(self, *, fleet: str, tenant: str, server: str, directory: Path, cache: Path, http: Http, bootstrap: bytes) -> None:
        """`directory` holds metadata and floors of this fleet alone, `cache` what is known by digest."""
        self.fleet = fleet
        self._full = f"{tenant}/{fleet}"
        self._base = f"{server}/v1/repositories/{tenant}/{fleet}"
        self._directory = directory
        self._cache = cache
        self._http = http
        self._bootstrap = bootstrap
        self._fetcher = CheckedFetcher(http, tenant=tenant, fleet=fleet)
        self._floors = Floors()
        self._used: set[str] = set()
        self.now = ""
        """The reference time, RFC 3339: the clock's, or the latest signed one where the clock is behind it."""
        self.development = False
        """Whether the root is marked as one of development keys."""

    # Refreshing

    def refresh(self, clock: datetime) -> RolloutDocument:
        """Fetch and verify the newest metadata, raise the floors for keeps, and return the rollout document.

        Raises:
            RefusedError: something is not signed, not this fleet's, older than seen, or expired.
            RetryError: something could not be fetched.
        """
        with _in_our_words(self._full):
            return self._refresh(clock)

    def _refresh(self, clock: datetime) -> RolloutDocument:
        self._fetcher.check(self._bootstrap, role="root", what="root metadata")
        durable.make_directory(self._directory / "metadata", mode=0o700)
        before = self._floors = floors_of.read(self._directory / "floors.json")
        self._client = _Client(
            str(self._directory / "metadata"), f"{self._base}/metadata/", fetcher=self._fetcher, bootstrap=self._bootstrap
        )
        root = self._client.load_root()
        self.development = bool(root.unrecognized_fields.get(DEVELOPMENT_FIELD))
        reference = self._reference(root, clock)
        self.now = reference.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._client.load_rest(reference)
        self._raise_top(root)
        document = self._document()
        if self._floors != before:
            self._keep()
        return document

    def _reference(self, root: Root, clock: datetime) -> datetime:
        if root.version < self._floors.root:
            message = f"{self._full}: root {root.version} is older than {self._floors.root}, which this host has seen"
            raise RefusedError(message)
        self._floors = msgspec.structs.replace(self._floors, root=root.version)
        latest = floor(self._floors, "clock", root.roles[Timestamp.type].keyids)
        return max(clock, datetime.fromtimestamp(latest, UTC))

    def _raise_top(self, root: Root) -> None:
        stamp = cast("Timestamp", self._client.trusted(Timestamp.type))
        keys = root.roles[Timestamp.type].keyids
        self._raise("timestamp", keys, stamp.version)
        self._raise("clock", keys, _signed_at(stamp))
        self._raise("snapshot", root.roles[Snapshot.type].keyids, self._client.trusted(Snapshot.type).version)

    def _document(self) -> RolloutDocument:
        data = self._cached(rollout.target(self.fleet), limit=codec.DOCUMENT_LIMIT)
        document = rollout.decode(data, fleet=self._full)
        keys = self._raise_role("rollouts")
        self._raise("serial", keys, document.serial)
        self._raise("epoch", keys, document.epoch)
        return document

    def _raise_role(self, role: str) -> list[str]:
        """Raise the floor of a delegated role, and return the ids of its keys."""
        delegations = cast("Targets", self._client.trusted(Targets.type)).delegations
        delegated = (delegations.roles or {}).get(role) if delegations else None
        keys = list(delegated.keyids) if delegated else []
        self._raise(cast("Mark", role), keys, self._client.trusted(role).version)
        return keys

    def _raise(self, mark: Mark, keys: list[str], value: int) -> None:
        try:
            self._floors = raised(self._floors, mark, keys, value)
        except RefusedError as error:
            message = f"{self._full}: {error}"
            raise RefusedError(message) from error

    def _keep(self) -> None:
        """Put metadata and floors on disk for keeps, before anything acts on them."""
        metadata = self._directory / "metadata"
        for path in (*metadata.glob("*.json"), *metadata.glob("root_history/*.json")):
            durable.sync_file(path)
        durable.sync_directory(metadata / "root_history")
        durable.sync_directory(metadata)
        floors_of.write(self._directory / "floors.json", self._floors)
        faults.reached("agent:after-floors")

    # Reading what the metadata names

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
        bundles = {Path(bundle.target(self.fleet, digest)).name for digest in digests}
        if self._cache.is_dir():
            for place in self._cache.iterdir():
                if place.name not in self._used and place.name.partition(".")[2] not in bundles:
                    place.unlink(missing_ok=True)

    def _custom(self, target: str) -> dict[str, Any]:
        return self._listed(target).custom or {}

    def _release_part(self, target: str, *, limit: int) -> bytes:
        """Return a target of the releases role, whose floor is raised and kept before it is used."""
        with _in_our_words(self._full):
            before = self._floors
            self._listed(target)
            self._raise_role("releases")
            if self._floors != before:
                self._keep()
            return self._cached(target, limit=limit)

    def _listed(self, target: str) -> TargetFile:
        info = self._client.get_targetinfo(target)
        if info is None:
            message = f"{self._full}: {target} is listed by nobody who may; nothing of it is used"
            raise RefusedError(message)
        return info

    def _cached(self, target: str, *, limit: int) -> bytes:
        """Return a target from the cache if it is what the metadata says, else fetched into it."""
        info = self._listed(target)
        digest = info.hashes.get("sha256", "")
        if not DIGEST.fullmatch(digest) or info.length > limit:
            message = f"{self._full}: {target}: signed metadata gives no SHA-256, or {info.length} bytes where {limit} is most"
            raise RefusedError(message)
        directory, _, name = target.rpartition("/")
        place = self._cache / f"{digest}.{name}"
        self._used.add(place.name)
        known = _verified(place, info)
        if known is None:
            url = f"{self._base}/targets/{directory}/{digest}.{name}"
            known = self._http.read(url, limit=info.length)
            info.verify_length_and_hashes(known)
            durable.replace(place, known, mode=0o600)
        return known


@contextlib.contextmanager
def _in_our_words(fleet: str) -> Iterator[None]:
    """Turn the TUF client's errors into ours: what can't be trusted is refused, what can't be had is tried again."""
    try:
        yield
    except exceptions.DownloadHTTPError as error:
        absent = "; the server has no repository for it" if error.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND) else ""
        message = f"{fleet}: {error}{absent}"
        raise RetryError(message) from error
    except exceptions.DownloadError as error:
        message = f"{fleet}: {error}"
        raise RetryError(message) from error
    except exceptions.ExpiredMetadataError as error:
        message = f"{fleet}: {error}: nothing new is started until fresh metadata arrives; what runs is kept"
        raise RefusedError(message) from error
    except (exceptions.RepositoryError, KeyError, ValueError) as error:
        message = f"{fleet}: {type(error).__name__}: {error}; nothing of it is used"
        raise RefusedError(message) from error


def _verified(place: Path, info: TargetFile) -> bytes | None:
    try:
        data = place.read_bytes()
        info.verify_length_and_hashes(data)
    except (OSError, exceptions.LengthOrHashMismatchError):
        return None
    return data


def _signed_at(stamp: Timestamp) -> int:
    text = stamp.unrecognized_fields.get(SIGNED_AT_FIELD)
    if not isinstance(text, str):
        message = f"timestamp {stamp.version} has no {SIGNED_AT_FIELD}"
        raise RefusedError(message)
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
