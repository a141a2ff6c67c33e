"""One TUF repository as a host trusts it: fetched, verified, and never older than what was seen.

The order is the specification's, with floors put in between: newer roots first, then the floors that the keys of the
newest root still have, then the time (never before the latest signed one), and only then timestamp, snapshot and roles.
https://theupdateframework.github.io/specification/latest/#detailed-client-workflow
"""

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec
from tuf.api import exceptions
from tuf.api.metadata import Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig

from agent.fetching.binding import Binding
from agent.fetching.fetcher import CheckedFetcher, Http
from agent.protocol import durable, faults
from agent.protocol.errors import RefusedError
from agent.trust import floors as floors_of
from agent.trust.floors import Floors, Mark, floor, raised
from agent.trust.refusals import in_our_words
from agent.watching.answered import Answered

PLACES = ("agent:after-floors",)
"""Where a crash test may kill the agent here."""
DIGEST = re.compile(r"[0-9a-f]{64}")
DEVELOPMENT_FIELD = "x-development"
ROOTS_LIMIT = 256
"""Roots newer than the one that the host was given: centuries of key rotations, and an end to a server that never stops."""
CLOCKS_APART = timedelta(minutes=5)
"""How far a host's clock may be behind the latest signed time before an expiry is put down to it."""
_SHAPE = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a repository is, and where on this host what is known of it is kept."""

    metadata_url: str
    targets_url: str
    metadata: Path
    """The TUF client's own copies."""
    floors: Path
    cache: Path
    """Targets by digest."""


class _Client(Updater):
    """python-tuf's client with one step between roots and timestamp."""

    def load_root(self) -> Root:
        """Take over all newer roots and return the newest."""
        first = self._trusted_set.root.version
        self._load_root()
        newest = self._trusted_set.root
        if newest.version - first >= self.config.max_root_rotations:
            message = (
                f"{newest.version - first} roots newer than version {first}, which this host was given: give it a newer --root-metadata"
            )
            raise RefusedError(message)
        return newest

    def load_rest(self, reference: datetime) -> None:
        """Take over timestamp, snapshot and targets as they are valid at `reference`."""
        self._trusted_set.reference_time = reference
        self._load_timestamp()
        self._load_snapshot()
        self._load_targets(Targets.type, Root.type)

    def trusted(self, role: str) -> Signed:
        """Return verified metadata that was loaded before."""
        return self._trusted_set[role]


class Trusted:
    """A repository for one poll: the TUF client refreshes once in its life."""

    def __init__(
        self, *, name: str, places: Places, http: Http, bootstrap: bytes, binding: Binding, answered: Answered | None = None
    ) -> None:
        """`name` stands in messages; `bootstrap` is root metadata, and `binding` what all metadata must say."""
        self.now = ""
        """The reference time, RFC 3339: the clock's, or the latest signed one where the clock is behind it."""
        self.fresh_until = ""
        """When the timestamp expires, RFC 3339."""
        self.development = False
        """Whether the root is marked as one of development keys."""
        self.used: set[str] = set()
        """Names of files in the cache that were read since the refresh."""
        self._name = name
        self._places = places
        self._bootstrap = bootstrap
        self._binding = binding
        self._fetcher = CheckedFetcher(http, binding, places.metadata, answered)
        self._floors = self._kept = Floors()
        self._clock = self._reference = datetime.now(UTC)

    def refresh(self, clock: datetime) -> None:
        """Fetch and verify the newest metadata, and raise the floors; `keep` puts them on disk.

        Raises:
            RefusedError: something is not signed, not this fleet's, older than seen, or expired.
            RetryError: something could not be fetched.
        """
        self._clock = self._reference = clock
        with in_our_words(self._name, self._times):
            self._binding.check(self._bootstrap, role="root", what="root metadata")
            durable.make_directory(self._places.metadata, mode=0o700)
            self._floors = self._kept = floors_of.read(self._places.floors)
            self._client = _Client(
                str(self._places.metadata),
                self._places.metadata_url,
                fetcher=self._fetcher,
                bootstrap=self._bootstrap,
                config=UpdaterConfig(max_root_rotations=ROOTS_LIMIT),
            )
            root = self._client.load_root()
            self.development = bool(root.unrecognized_fields.get(DEVELOPMENT_FIELD))
            self._reference = self._reference_time(root)
            self.now = self._reference.strftime(_SHAPE)
            self._client.load_rest(self._reference)
            self._raise_top(root)

    def _reference_time(self, root: Root) -> datetime:
        if root.version < self._floors.root:
            message = (
                f"{self._name}: root {root.version} is older than {self._floors.root}, which this host has seen: "
                "the server must publish the newer one again"
            )
            raise RefusedError(message)
        self._floors = msgspec.structs.replace(self._floors, root=root.version)
        latest = floor(self._floors, "clock", root.roles[Timestamp.type].keyids)
        return max(self._clock, datetime.fromtimestamp(latest, UTC))

    def _raise_top(self, root: Root) -> None:
        stamp = cast("Timestamp", self._client.trusted(Timestamp.type))
        keys = root.roles[Timestamp.type].keyids
        self.raise_floor("timestamp", keys, stamp.version)
        signed_at = self._binding.signed_at(stamp)
        self.raise_floor("clock", keys, signed_at)
        self.now = max(self.now, datetime.fromtimestamp(signed_at, UTC).strftime(_SHAPE))
        self.raise_floor("snapshot", root.roles[Snapshot.type].keyids, self._client.trusted(Snapshot.type).version)
        self.fresh_until = stamp.expires.strftime(_SHAPE)

    def latest(self, clock: datetime) -> str:
        """Return the clock's time, RFC 3339, or the latest signed one that was seen under any key where the clock is behind it."""
        seen = max(floors_of.read(self._places.floors).marks.get("clock", {}).values(), default=0)
        return max(clock, datetime.fromtimestamp(seen, UTC)).strftime(_SHAPE)

    def _times(self) -> str:
        """Say as of when expiry was judged."""
        judged = f"(as of {self._reference.strftime(_SHAPE)}"
        if self._reference - self._clock <= CLOCKS_APART:
            return f"{judged}, this host's clock)"
        clock = self._clock.strftime(_SHAPE)
        return f"{judged}, the latest signed time; this host's clock says {clock}: mend it, or if it is right rotate the timestamp key)"

    # Floors

    def raise_role(self, role: str) -> list[str]:
        """Raise the floor of a role that targets delegates to, and return the ids of its keys."""
        delegations = cast("Targets", self._client.trusted(Targets.type)).delegations
        delegated = (delegations.roles or {}).get(role) if delegations else None
        keys = list(delegated.keyids) if delegated else []
        self.raise_floor(cast("Mark", role), keys, self._client.trusted(role).version)
        return keys

    def raise_floor(self, mark: Mark, keys: list[str], value: int) -> None:
        """Note a number that was signed with these keys; raise `RefusedError` if it is older than what was seen."""
        try:
            self._floors = raised(self._floors, mark, keys, value)
        except RefusedError as error:
            message = f"{self._name}: {error}"
            raise RefusedError(message) from error

    def keep(self) -> None:
        """Put metadata and floors on disk for keeps if a floor has risen, before anything acts on them."""
        if self._floors == self._kept:
            return
        metadata = self._places.metadata
        for path in (*metadata.glob("*.json"), *metadata.glob("root_history/*.json")):
            durable.sync_file(path)
        durable.sync_directory(metadata / "root_history")
        durable.sync_directory(metadata)
        floors_of.write(self._places.floors, self._floors)
        self._kept = self._floors
        faults.reached("agent:after-floors")

    # Targets

    def listed(self, target: str) -> TargetFile:
        """Return what signed metadata says of a target; raise `RefusedError` if nobody lists it who may."""
        with in_our_words(self._name, self._times):
            info = self._client.get_targetinfo(target)
        if info is None:
            message = (
                f"{self._name}: {target} is listed by nobody who may; nothing of it is used, and approving is `ordain reconcile`'s alone"
            )
            raise RefusedError(message)
        return info

    def read(self, target: str, *, limit: int) -> bytes:
        """Return a target from the cache if it is what the metadata says, else fetched into it.

        Raises:
            RefusedError: not listed, too large, or other bytes than were signed.
            RetryError: it could not be fetched.
        """
        info = self.listed(target)
        digest = info.hashes.get("sha256", "")
        if not DIGEST.fullmatch(digest) or info.length > limit:
            message = f"{self._name}: {target}: signed metadata gives no SHA-256, or {info.length} bytes where {limit} is most"
            raise RefusedError(message)
        directory, slash, name = target.rpartition("/")
        place = self._places.cache / f"{digest}.{name}"
        self.used.add(place.name)
        known = _verified(place, info)
        if known is None:
            with in_our_words(self._name, self._times):
                known = self._fetcher.read(f"{self._places.targets_url}{directory}{slash}{digest}.{name}", limit=info.length)
                info.verify_length_and_hashes(known)
            durable.replace(place, known, mode=0o600)
        return known

    def prune(self, kept: set[str]) -> None:
        """Drop cached targets that were not read since the refresh, but those that end in these names."""
        if self._places.cache.is_dir():
            for place in self._places.cache.iterdir():
                if place.name not in self.used and place.name.partition(".")[2] not in kept:
                    place.unlink(missing_ok=True)


def _verified(place: Path, info: TargetFile) -> bytes | None:
    with contextlib.suppress(OSError, exceptions.LengthOrHashMismatchError):
        data = place.read_bytes()
        info.verify_length_and_hashes(data)
        return data
    return None
