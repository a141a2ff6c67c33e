"""One download at a time: resumed where it broke off, and no faster than the host's owner allows.

What has arrived stays beside its digest. The server is asked to go on from there, on condition that it has the same content
where its ETag is the digest (`serve`). The digest over the whole decides in the end: if it is wrong after a resumption, all is
fetched once more.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError

from agent.fetching.fetcher import ARTIFACT_SECONDS, Http, Rest
from agent.protocol.errors import RetryError

CHUNK = 256 * 1024
SLICE_SECONDS = 0.5
"""A pause is cut into pieces, so that an agent that is asked to stop does."""
NOTHING_THERE = 416


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be fetched: the digest decides, `limit` is the most bytes that may arrive.

    `url` is what people are told, `address` where it is asked for; `etag` what the server calls just this content, if that is known.
    """

    url: str
    address: str
    sha256: str
    limit: int
    redirects: bool
    etag: str = ""


class Pace:
    """Holds a stream to a number of bytes in a second, counted from its first byte; 0 is without a bound."""

    def __init__(self, rate: int, stopping: Callable[[], bool]) -> None:
        self.rate = rate
        self._stopping = stopping
        self._started = time.monotonic()
        self._passed = 0

    @property
    def chunk(self) -> int:
        """Bytes to take at once: a quarter of a second's, so that a slow rate is not a row of bursts."""
        return CHUNK if not self.rate else max(1024, min(CHUNK, self.rate // 4))

    def over(self, chunks: Iterator[bytes], url: str) -> Iterator[bytes]:
        """Yield chunks no faster than they may come; raise `RetryError` when the agent is asked to stop."""
        for chunk in chunks:
            yield chunk
            self._passed += len(chunk)
            self._wait()
            if self._stopping():
                message = f"{url}: stopped while it was being fetched; it goes on from there"
                raise RetryError(message)

    def _wait(self) -> None:
        while self.rate and not self._stopping():
            early = self._passed / self.rate - (time.monotonic() - self._started)
            if early <= 0:
                return
            time.sleep(min(early, SLICE_SECONDS))


def download(http: Http, wanted: Wanted, part: Path, pace: Pace) -> None:
    """Make `part` the content that is wanted, going on from what it has.

    Raises:
        RetryError: it could not be had, and what has arrived is kept in `part`; or it is not what the release says, and nothing is.
        RefusedError: a redirect that is not followed.
    """
    found, resumed = digest(part), part.exists()
    if not hmac.compare_digest(found, wanted.sha256):
        found = _receive(http, wanted, part, pace)
    if resumed and not hmac.compare_digest(found, wanted.sha256):
        part.unlink()
        found = _receive(http, wanted, part, pace)
    if not hmac.compare_digest(found, wanted.sha256):
        part.unlink()
        message = f"{wanted.url}: its SHA-256 is {found}, the release says {wanted.sha256}; it is not used"
        raise RetryError(message)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; of none, that of nothing."""
    if not path.exists():
        return hashlib.sha256().hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _receive(http: Http, wanted: Wanted, part: Path, pace: Pace) -> str:
    """Append to `part`, or begin it anew if the server does, and return the digest of all of it."""
    rest = _rest(http, wanted, part, pace)
    with part.open("ab" if rest.offset else "wb") as stream:
        for chunk in pace.over(rest.chunks, wanted.url):
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    return digest(part)


def _rest(http: Http, wanted: Wanted, part: Path, pace: Pace) -> Rest:
    """Return what is missing of `part`; if the server has nothing after it, `part` was wrong and all is asked for."""
    offset = part.stat().st_size if part.exists() else 0
    try:
        return http.resume(
            wanted.address,
            offset=offset if offset <= wanted.limit else 0,
            etag=wanted.etag,
            limit=wanted.limit,
            seconds=ARTIFACT_SECONDS + (2 * wanted.limit / pace.rate if pace.rate else 0),
            redirects=wanted.redirects,
            chunk=pace.chunk,
        )
    except DownloadHTTPError as error:
        if error.status_code == NOTHING_THERE and offset:
            part.unlink()
            return _rest(http, wanted, part, pace)
        message = f"{wanted.url}: {error}"
        raise RetryError(message) from error
