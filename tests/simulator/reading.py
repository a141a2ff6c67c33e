"""What a watch brought, read: by the agent's own TUF client, or without verifying it, as quickly as thousands of hosts need.

The quick way reads the same files, finds targets by the releases metadata and holds them to their digests; what is the same for all
hosts is taken apart once. It verifies no signature: nobody but a simulated host may do that.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from agent.fetching.fetcher import Http
from agent.fetching.tls import Tls
from agent.following import admission
from agent.following.admission import NotListedError, WaitingError
from agent.following.repository import Repository
from agent.protocol import bundle, codec, membership, rollout, watching
from agent.protocol.membership import Member
from agent.protocol.rollout import Release, RolloutDocument
from agent.protocol.watching import WatchAnswer
from agent.watching.answered import Answered

Files = Mapping[str, str]
Fetch = Callable[[str], Awaitable[bytes]]
"""Path below the fleet's repository → its bytes."""
KEPT = 64
"""Answers, documents and targets that are remembered: hosts ask for the same few within seconds."""
_SHAPE = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a fleet asks of a host; `release` is None where it waits, or is not listed."""

    serial: int
    attempt: int
    release: Release | None
    group: str = ""


@lru_cache(maxsize=KEPT)
def answer_of(data: bytes) -> WatchAnswer:
    """Read an answer."""
    return codec.decode(data, WatchAnswer, what="answer", limit=watching.ANSWER_LIMIT)


def version_of(files: Files) -> int:
    """Return the version of a part's timestamp."""
    return int(_signed(files["metadata/timestamp.json"])["version"])


def document_of(files: Files, fleet: str) -> RolloutDocument:
    """Return the rollout document of a part; `fleet` is `<tenant>/<fleet>`."""
    return _document(next(text for name, text in files.items() if name.startswith("targets/rollouts/")), fleet)


@lru_cache(maxsize=KEPT)
def _document(text: str, fleet: str) -> RolloutDocument:
    return rollout.decode(text.encode(), fleet=fleet)


@lru_cache(maxsize=KEPT)
def _signed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)["signed"]
    return found


class Quick:
    """Reads one fleet for one host, and fetches what it has not seen: a bundle and the host's members, as agents do."""

    def __init__(self, tenant: str, fleet: str, agent: str, fetch: Fetch) -> None:
        """`agent` is its name in the tenant."""
        self._full, self._fleet, self._agent, self._fetch = f"{tenant}/{fleet}", fleet, agent, fetch
        self._members: dict[int, Member | None] = {}
        self._bundles: set[str] = set()

    async def read(self, files: Files, now: datetime) -> Told:
        """Return what is asked of the host, whose clock says `now`, or the latest signed time where it is behind.

        Raises as `fetch` does, and `MalformedError` for what no agent would take.
        """
        document = document_of(files, self._full)
        for release in (document.candidate, document.stable):
            if release is not None and release.members not in self._members:
                self._members[release.members] = await self._member(files, release.members)
        told = Told(serial=document.serial, attempt=document.attempt, release=None)
        latest = max(now.strftime(_SHAPE), str(_signed(files["metadata/timestamp.json"])["x-signed-at"]))
        try:
            choice = admission.choose(document, agent=self._agent, now=latest, member=self._members.__getitem__)
        except (WaitingError, NotListedError):
            return told
        if choice.release.digest not in self._bundles:
            await self._target(files, bundle.target(self._fleet, choice.release.digest))
            self._bundles.add(choice.release.digest)
        return Told(serial=document.serial, attempt=document.attempt, release=choice.release, group=choice.member.group)

    async def _member(self, files: Files, sequence: int) -> Member | None:
        data = await self._target(files, membership.target(sequence))
        members = _members(data, self._full, sequence)
        digest = membership.needed_shard(members, self._agent)
        shard = _shard(await self._target(files, membership.shard_target(digest)), self._full, digest) if digest else None
        return membership.find(members, shard, self._agent)

    async def _target(self, files: Files, target: str) -> bytes:
        releases = _signed(next(text for name, text in files.items() if name.endswith(".releases.json")))
        digest = releases["targets"][target]["hashes"]["sha256"]
        directory, _, name = target.rpartition("/")
        data = await self._fetch(f"targets/{directory}/{digest}.{name}")
        assert hashlib.sha256(data).hexdigest() == digest, f"{target} of {self._full}: other bytes than were signed"
        return data


@lru_cache(maxsize=KEPT)
def _members(data: bytes, fleet: str, sequence: int) -> membership.Members:
    return membership.decode(data, fleet=fleet, sequence=sequence)


@lru_cache(maxsize=KEPT)
def _shard(data: bytes, fleet: str, digest: str) -> membership.Shard:
    return membership.decode_shard(data, fleet=fleet, digest=digest)


class Verified:
    """Reads one fleet for one host as an agent does: with its TUF client, its floors on a disk, and its own connection. It blocks."""

    def __init__(self, tenant: str, fleet: str, agent: str, *, tls: Tls, directory: Path, bootstrap: bytes) -> None:
        """`bootstrap` is the root metadata of enrolment."""
        self._tenant, self._fleet, self._agent = tenant, fleet, agent
        self._tls, self._directory, self._bootstrap = tls, directory, bootstrap
        self._http = Http(tls)

    def read(self, files: Files, clock: timedelta) -> Told:
        """Return what is asked of the host, whose clock is so far from right.

        Raises:
            RefusedError: what no agent would take.
            RetryError: something can't be fetched.
        """
        base = f"{self._tls.server}/v1/repositories/{self._tenant}/{self._fleet}/"
        repository = Repository(
            fleet=self._fleet,
            tenant=self._tenant,
            server=self._tls.server,
            directory=self._directory,
            cache=self._directory / "cache",
            http=self._http,
            bootstrap=self._bootstrap,
            answered=Answered(base=base, files=files),
        )
        document = repository.refresh(datetime.now(UTC) + clock)

        def member(sequence: int) -> Member | None:
            return repository.member(sequence, self._agent)

        told = Told(serial=document.serial, attempt=document.attempt, release=None)
        try:
            choice = admission.choose(document, agent=self._agent, now=repository.now, member=member)
            admission.group_of(choice, document, repository.bundle(choice.release.digest))
        except (WaitingError, NotListedError):
            return told
        return Told(serial=document.serial, attempt=document.attempt, release=choice.release, group=choice.member.group)

    def close(self) -> None:
        """Close its connection."""
        self._http.close()
