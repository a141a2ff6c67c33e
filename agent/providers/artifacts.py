"""Artifacts: files that are fetched by address, known by their SHA-256, and kept for rollbacks.

An address is never trusted: what counts is the digest that policy approved, computed while the bytes stream in. The
length that a server claims is not looked at.
"""

import hashlib
import hmac
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.fetcher import Http
from agent.host import Host
from agent.protocol import durable
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import Artifact, ArtifactSource
from agent.providers.item import Item, resolve_mode, resolve_owner

ARTIFACT_MODE = 0o755
"""Artifacts are programs as a rule."""
SIZE_LIMIT = 1024 * 1024 * 1024
"""Bytes of an artifact that states no size: room for any program, and an end to a server that never stops."""
CHUNK = 1024 * 1024
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def this_platform() -> str:
    """Return this host's platform as manifests name it: `linux/amd64`."""
    machine = platform.machine()
    return f"{platform.system().lower()}/{MACHINES.get(machine, machine)}"


def desired(artifact: Artifact, *, host: Host) -> Item:
    """Return what an artifact of a state means on this host.

    Raises:
        RefusedError: nothing for this platform, an unpacking that this version can't do, or an owner that can't be set.
    """
    here = this_platform()
    source = artifact.platforms.get(here) or artifact.platforms.get("any")
    if source is None:
        message = f"artifact {artifact.name}: there is none for {here}, only for {', '.join(sorted(artifact.platforms)) or 'nothing'}"
        raise RefusedError(message)
    if artifact.unpack is not None:
        message = f"artifact {artifact.name}: this agent can't unpack {artifact.unpack}; upgrade ordain"
        raise RefusedError(message)
    uid, gid, warnings = resolve_owner(host, artifact.path, artifact.owner, artifact.group)
    return Item(
        path=artifact.path,
        provider="artifacts",
        kind="file",
        mode=resolve_mode(artifact.path, artifact.mode, ARTIFACT_MODE),
        uid=uid,
        gid=gid,
        source=source,
        digest=source.sha256,
        warnings=warnings,
    )


class Cache:
    """Artifacts on disk by digest; `store` is where `store:` addresses are fetched from."""

    def __init__(self, directory: Path, http: Http, *, store: str) -> None:
        self._directory = directory
        self._http = http
        self._store = store

    def fetch(self, source: ArtifactSource, *, stopping: Callable[[], bool]) -> Path:
        """Return the file that holds the artifact, fetched if it isn't here yet or no longer what it was.

        Raises:
            RetryError: it could not be fetched, is larger than it may be, or has another digest.
            RefusedError: an address of a kind that is not allowed.
        """
        place = self._directory / source.sha256
        if place.is_file():
            if hmac.compare_digest(_digest(place), source.sha256):
                return place
            place.unlink()  # damaged on this disk: what is fetched again counts
        durable.make_directory(self._directory, mode=0o700)
        part = self._directory / f".{source.sha256}.part"
        try:
            self._receive(source, part, stopping)
            part.rename(place)
        finally:
            part.unlink(missing_ok=True)
        durable.sync_directory(self._directory)
        return place

    def prune(self, wanted: set[str]) -> None:
        """Remove every artifact but the wanted digests."""
        if self._directory.is_dir():
            for place in self._directory.iterdir():
                if place.name not in wanted:
                    place.unlink(missing_ok=True)

    def _receive(self, source: ArtifactSource, part: Path, stopping: Callable[[], bool]) -> None:
        limit = SIZE_LIMIT if source.size is None else source.size
        total, size = hashlib.sha256(), 0
        with part.open("wb") as stream:
            for chunk in self._chunks(source, limit):
                if stopping():
                    message = f"{source.url}: stopped while it was being fetched"
                    raise RetryError(message)
                size += len(chunk)
                if size > limit:
                    message = f"{source.url}: more than the {limit} bytes that the release allows"
                    raise RetryError(message)
                total.update(chunk)
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        if not hmac.compare_digest(total.hexdigest(), source.sha256):
            message = f"{source.url}: its SHA-256 is {total.hexdigest()}, the release says {source.sha256}; it is not used"
            raise RetryError(message)

    def _chunks(self, source: ArtifactSource, limit: int) -> Iterator[bytes]:
        parts = urlsplit(source.url)
        if parts.scheme == "file":
            return _local(Path(unquote(parts.path)))
        if parts.scheme == "store":
            return self._http.stream(f"{self._store}/{source.sha256}", limit=limit)
        if parts.scheme in ("https", "http"):  # whether http is good enough is policy's to say; the digest holds either way
            return self._http.stream(source.url, limit=limit, redirects=True)
        message = f"{source.url}: artifacts come by https:, http:, file: or store: only"
        raise RefusedError(message)


def _local(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as error:
        message = f"file:{path}: {error.strerror}"
        raise RetryError(message) from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
