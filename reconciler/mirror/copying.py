"""Copying one fleet's repository: verified as an agent would, then written so that an agent never reads half of it.

    source ─▶ TUF client (from the trusted root on, never behind what the copy has) ─▶ artifacts ─▶ files ─▶ timestamp, last

Only what agents need is copied: metadata, the rollout document, and bundles, members and artifacts of the releases that it names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from tuf.api.exceptions import DownloadError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Root, Timestamp

from agent.protocol import bundle, membership, rollout
from agent.protocol.bundle import Bundle
from agent.protocol.errors import MalformedError, OrdainError, RefusedError, RetryError
from agent.protocol.rollout import Release, RolloutDocument
from agent.protocol.state import State
from reconciler.mirror.sources import Source
from reconciler.publication import layout, metadata
from reconciler.publication.client import Client
from reconciler.publication.releases import fleet_name
from reconciler.publication.store import Store

STORED = "store:"
"""How an artifact's address begins that agents fetch from their server, so from the copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What came of copying one fleet: the versions of its timestamp before (0 for none) and after, and how much was new."""

    tenant: str
    fleet: str
    before: int
    after: int
    serial: int
    files: int = 0
    artifacts: int = 0
    bytes: int = 0

    @property
    def changed(self) -> bool:
        """Whether anything is new."""
        return self.after != self.before


class _Recorder:
    """Answers a client from a source, and keeps what it was given, so that what was verified is what is written."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.seen: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        data = self._source.get(key)
        if data is not None:
            self.seen[key] = data
        return data


def copy_fleet(source: Source, store: Store, *, tenant: str, fleet: str, root: bytes, now: datetime) -> Copied:
    """Bring the copy of a fleet's repository in `store` to what `source` has; `root` is the trusted root metadata.

    Raises:
        RefusedError: what the source has is not signed, is another fleet's, is older than the copy, or has expired.
        RetryError: something could not be fetched, or another process wrote the copy meanwhile.
    """
    name = fleet_name(tenant, fleet)
    standing = _standing(store, tenant, fleet)
    recorder = _Recorder(source)
    client = Client(recorder.get, fleet=name, root=root, now=now, standing=standing.files)
    try:
        client.refresh()
        newest = recorder.seen.get(layout.metadata(tenant, fleet, "timestamp.json"), b"")
        version = _version(newest, name)
        if version == standing.version:
            return Copied(tenant=tenant, fleet=fleet, before=version, after=version, serial=0)
        document = rollout.decode(client.download(rollout.target(fleet)), fleet=name)
        bundles = _releases(client, fleet, name, document)
    except ExpiredMetadataError as error:
        message = f"{name}: what is there has expired ({error}); bring newer files, or set this clock"
        raise RefusedError(message) from error
    except (RepositoryError, DownloadError) as error:
        raise _in_our_words(name, error) from error
    kept = _older_roots(recorder, tenant, fleet, root) | recorder.seen
    artifacts = _Artifacts(source, store, tenant)
    for sha in sorted({sha for one in bundles for sha in _stored(one)}):
        artifacts.bring(sha)
    written = _write(store, kept, tenant, fleet, standing.stored)
    return Copied(
        tenant=tenant,
        fleet=fleet,
        before=standing.version,
        after=version,
        serial=document.serial,
        files=written[0],
        artifacts=artifacts.count,
        bytes=written[1] + artifacts.bytes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    version: int
    stored: str | None
    files: Mapping[str, bytes]


def _standing(store: Store, tenant: str, fleet: str) -> _Standing:
    """Return what the copy has: timestamp and snapshot, from which the client goes forward only."""
    found = store.get_versioned(layout.metadata(tenant, fleet, "timestamp.json"))
    if found is None:
        return _Standing(version=0, stored=None, files={})
    try:
        timestamp = metadata.load(found[0], Timestamp, what="timestamp").signed
    except MalformedError:  # damaged: made anew, as if nothing were there
        return _Standing(version=0, stored=found[1], files={})
    snapshot = store.get(layout.metadata(tenant, fleet, f"{timestamp.snapshot_meta.version}.snapshot.json"))
    files = {"timestamp": found[0], **({"snapshot": snapshot} if snapshot else {})}
    return _Standing(version=timestamp.version, stored=found[1], files=files)


def _version(timestamp: bytes, name: str) -> int:
    return metadata.load(timestamp, Timestamp, what=f"timestamp of {name}").signed.version


def _releases(client: Client, fleet: str, name: str, document: RolloutDocument) -> list[Bundle]:
    """Have the client fetch all that hosts of the document's releases read; return their bundles."""
    named = {release for release in (document.stable, document.candidate) if release is not None}
    for sequence in sorted({release.members for release in named}):
        members = membership.decode(client.download(membership.target(sequence)), fleet=name, sequence=sequence)
        for digest in sorted(set(members.shards.digests.values())) if members.shards else []:
            client.download(membership.shard_target(digest))
    return [_bundle(client, fleet, release) for release in sorted(named, key=lambda one: one.digest)]


def _bundle(client: Client, fleet: str, release: Release) -> Bundle:
    return bundle.unpack(client.download(bundle.target(fleet, release.digest)), digest=release.digest)


def _stored(found: Bundle) -> Iterator[str]:
    """Yield the digests of artifacts that hosts of a bundle fetch from their server."""
    for group in found.groups.values():
        for state in (group.base, *(mode.state for mode in group.modes)):
            yield from _stored_in(state)


def _stored_in(state: State) -> Iterator[str]:
    for artifact in state.artifacts:
        yield from (source.sha256 for source in artifact.platforms.values() if source.url.startswith(STORED))


def _older_roots(recorder: _Recorder, tenant: str, fleet: str, root: bytes) -> dict[str, bytes]:
    """Return the trusted root and those before it: an agent that trusts an older one follows them, and checks each by the one before."""
    version = metadata.load(root, Root, what="root").signed.version
    keys = [layout.metadata(tenant, fleet, f"{number}.root.json") for number in range(1, version)]
    found = {key: data for key in keys if (data := recorder.get(key)) is not None}
    return {**found, layout.metadata(tenant, fleet, f"{version}.root.json"): root}


def _write(store: Store, files: Mapping[str, bytes], tenant: str, fleet: str, stored: str | None) -> tuple[int, int]:
    """Write files that refer to none first, the timestamp last; return how many were new, and their bytes."""
    stamp = layout.metadata(tenant, fleet, "timestamp.json")
    count = size = 0
    for key in sorted(files, key=_depth):
        if key == stamp:
            continue
        if store.create(key, files[key]):
            count, size = count + 1, size + len(files[key])
        elif store.get(key) != files[key]:
            message = f"{key}: the copy has other bytes under this name; was it written by hand? Remove it, or begin a new copy"
            raise RefusedError(message)
    if not store.replace(stamp, files[stamp], stored):
        message = f"{stamp}: another process wrote the copy meanwhile"
        raise RetryError(message)
    return count + 1, size + len(files[stamp])


def _depth(key: str) -> tuple[bool, bool, str]:
    """Sort targets before metadata, and the snapshot behind the roles that it names."""
    return ("/metadata/" in key, key.endswith(".snapshot.json"), key)


class _Artifacts:
    """Copies artifacts by digest, each once; `count` and `bytes` are of those that were new."""

    def __init__(self, source: Source, store: Store, tenant: str) -> None:
        self._source, self._store, self._tenant = source, store, tenant
        self.count = self.bytes = 0

    def bring(self, digest: str) -> None:
        """Copy one artifact unless the copy has it; raises `RefusedError` for other bytes, `RetryError` where the source lacks it."""
        key = layout.artifact(self._tenant, digest)
        if self._store.size(key) is not None:
            return
        chunks = self._source.artifact(self._tenant, digest)
        if chunks is None:
            message = f"artifact {digest}: the source does not have it; has it been pruned? `ordain artifact publish` puts it back"
            raise RetryError(message)
        self._store.create_from(key, self._checked(chunks, digest))
        self.count += 1

    def _checked(self, chunks: Iterator[bytes], digest: str) -> Iterator[bytes]:
        hashed = sha256()
        for chunk in chunks:
            hashed.update(chunk)
            self.bytes += len(chunk)
            yield chunk
        if hashed.hexdigest() != digest:
            message = f"artifact {digest}: the source sent other bytes; nothing of it is kept"
            raise RefusedError(message)


def _in_our_words(name: str, error: Exception) -> OrdainError:
    """Return an error of the TUF client as one of ours: what could not be fetched is tried again, what can't be trusted is not."""
    cause = error.__cause__
    if isinstance(cause, OrdainError):
        return cause
    kind = RetryError if isinstance(error, DownloadError) else RefusedError
    return kind(f"{name}: {error}")
