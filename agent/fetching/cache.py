"""Artifacts on this host's disk, by digest: what was fetched, what is being fetched, and what unpacked trees look like.

    <sha256>                the artifact; believed only while its digest is right
    <sha256>.part           what has arrived of it
    <sha256>.wanted         since when it has been wanted, where downloads are staggered
    <sha256>.<form>.tree    the listing of the directory that it unpacks to

An address is never trusted: what counts is the digest that policy approved. The length that a server claims is not looked at.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from agent.archives import trees
from agent.archives.entries import Form
from agent.fetching.download import Pace, Wanted, digest, download
from agent.fetching.fetcher import Http
from agent.protocol import durable
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import ArtifactSource
from agent.settings import Downloads

SIZE_LIMIT = 1024 * 1024 * 1024
"""Bytes of an artifact that states no size: room for any program, and an end to a server that never stops."""
SMALL = 1024 * 1024
"""Bytes of an artifact that is fetched at once even where downloads are staggered: it hurts no line."""
CHUNK = 1024 * 1024


class NotYetError(RetryError):
    """It is not this host's turn to fetch: nothing is wrong, and the next poll asks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Artifacts by digest. `store` is where `store:` addresses are fetched from; `agent` spreads staggered downloads."""

    directory: Path
    http: Http
    store: str
    agent: str
    downloads: Callable[[], Downloads]

    def fetch(self, source: ArtifactSource, *, stopping: Callable[[], bool]) -> Path:
        """Return the file that holds the artifact, fetched if it isn't here yet or no longer what it was.

        Raises:
            NotYetError: downloads are staggered, and others are before this host.
            RetryError: it could not be fetched, is larger than it may be, or has another digest.
            RefusedError: an address of a kind that is not allowed.
        """
        place = self.directory / source.sha256
        if place.is_file():
            if hmac.compare_digest(digest(place), source.sha256):
                return place
            place.unlink()  # damaged on this disk: what is fetched again counts
        durable.make_directory(self.directory, mode=0o700)
        settings = self.downloads()
        self._require_turn(source, settings)
        part = self._beside(source, "part")
        self._receive(source, part, Pace(0 if source.url.startswith("file:") else settings.rate, stopping))
        part.rename(place)
        durable.sync_directory(self.directory)
        return place

    def open(self, source: ArtifactSource, *, stopping: Callable[[], bool]) -> BinaryIO:
        """Return the artifact, open; raises as `fetch` does, or if it changed on disk since."""
        stream = self.fetch(source, stopping=stopping).open("rb")
        if not hmac.compare_digest(hashlib.file_digest(stream, "sha256").hexdigest(), source.sha256):
            stream.close()
            message = f"{source.url}: the artifact changed on disk while it was read; it is fetched again"
            raise RetryError(message)
        stream.seek(0)
        return stream

    # Trees

    def keep_listing(self, source: ArtifactSource, form: Form, lines: list[str]) -> None:
        """Write down what an artifact unpacks to."""
        durable.replace(self._beside(source, f"{form}.tree"), trees.encoded(lines), mode=0o600)

    def listing(self, source: ArtifactSource, form: Form) -> list[str]:
        """Return what an artifact unpacks to, nothing where it was never unpacked here."""
        try:
            return self._beside(source, f"{form}.tree").read_text().splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return []

    def tree_digest(self, source: ArtifactSource, form: Form) -> str | None:
        """Return the digest of what an artifact unpacks to, None where it was never unpacked here.

        A listing that is damaged gives a digest that no tree has; unpacking again mends it.
        """
        place = self._beside(source, f"{form}.tree")
        return digest(place) if place.is_file() else None

    def prune(self, wanted: set[str]) -> None:
        """Remove everything but what belongs to the wanted digests."""
        if self.directory.is_dir():
            for place in self.directory.iterdir():
                if place.name.partition(".")[0] not in wanted:
                    place.unlink(missing_ok=True)

    # Fetching

    def _beside(self, source: ArtifactSource, ending: str) -> Path:
        return self.directory / f"{source.sha256}.{ending}"

    def _require_turn(self, source: ArtifactSource, settings: Downloads) -> None:
        """Raise `NotYetError` until this agent's share of the stagger has passed since the artifact was first wanted."""
        small = source.size is not None and source.size < SMALL
        if not settings.stagger or small or self._beside(source, "part").exists() or urlsplit(source.url).scheme == "file":
            return
        wanted = self._beside(source, "wanted")
        if not wanted.exists():
            wanted.touch()
        left = wanted.stat().st_mtime + delay(self.agent, source.sha256, settings.stagger) - time.time()
        if 0 < left <= settings.stagger:  # more than that is a clock that was set back
            message = f"{source.url}: fetched in {left:.0f} s; `downloads.stagger` in agent.toml spreads hosts over {settings.stagger} s"
            raise NotYetError(message)

    def _receive(self, source: ArtifactSource, part: Path, pace: Pace) -> None:
        limit = SIZE_LIMIT if source.size is None else source.size
        scheme = urlsplit(source.url).scheme
        if scheme == "file":
            _copy(source, part, limit, pace)
        elif scheme == "store":
            address, etag = f"{self.store}/{source.sha256}", f'"{source.sha256}"'
            wanted = Wanted(url=source.url, address=address, sha256=source.sha256, limit=limit, redirects=False, etag=etag)
            download(self.http, wanted, part, pace)
        elif scheme in ("https", "http"):  # whether http is good enough is policy's to say; the digest holds either way
            wanted = Wanted(url=source.url, address=source.url, sha256=source.sha256, limit=limit, redirects=True)
            download(self.http, wanted, part, pace)
        else:
            message = f"{source.url}: artifacts come by https:, http:, file: or store: only"
            raise RefusedError(message)


def delay(agent: str, sha256: str, stagger: int) -> float:
    """Return the seconds that an agent waits before it fetches an artifact: the same each time, evenly spread over agents."""
    chosen = int.from_bytes(hashlib.sha256(f"{agent}\0{sha256}".encode()).digest()[:8], "big")
    return stagger * (chosen / 2**64)


def _copy(source: ArtifactSource, part: Path, limit: int, pace: Pace) -> None:
    """Make `part` a copy of the file that an address names on this host."""
    size, total = 0, hashlib.sha256()
    try:
        with Path(unquote(urlsplit(source.url).path)).open("rb") as origin, part.open("wb") as stream:
            for chunk in pace.over(_chunks(origin), source.url):
                size += len(chunk)
                if size > limit:
                    message = f"{source.url}: more than the {limit} bytes that the release allows"
                    raise RetryError(message)
                total.update(chunk)
                stream.write(chunk)
        durable.sync_file(part)
    except OSError as error:
        part.unlink(missing_ok=True)
        message = f"{source.url}: {error.strerror}"
        raise RetryError(message) from error
    if not hmac.compare_digest(total.hexdigest(), source.sha256):
        part.unlink()
        message = f"{source.url}: its SHA-256 is {total.hexdigest()}, the release says {source.sha256}; it is not used"
        raise RetryError(message)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk
