"""All that the agent fetches: bounded in size and time, and TUF metadata held to its tenant and fleet."""

import contextlib
import hashlib
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from agent.fetching.binding import Binding
from agent.fetching.bounds import Bounds, TooMuchError, pool_classes
from agent.fetching.refusal import not_granted
from agent.fetching.tls import Tls, in_our_words
from agent.protocol.errors import MalformedError, RefusedError, RetryError
from agent.watching.answered import Answered

CONNECT_SECONDS = 10.0
GAP_SECONDS = 30.0
"""Without a byte."""
PATIENCE_SECONDS = 20.0
SLOWEST = 16 * 1024
"""Bytes a second. A file may take `PATIENCE_SECONDS`, and what its bytes take at this rate: no server that drips holds up the others."""
ARTIFACT_SECONDS = 3600.0
CHUNK = 256 * 1024
ERROR_LIMIT = 64 * 1024
"""Bytes of a page about an error that are read so that its connection can be used again."""
REDIRECTS_LIMIT = 5
"""Of artifacts only: release pages redirect to object stores. Metadata and bundles are never redirected."""
OK, CREATED, PARTIAL, NOT_MODIFIED, FOUND = 200, 201, 206, 304, (301, 302, 303, 307, 308)
TIMESTAMP = "timestamp.json"
"""The one file of a repository that changes under its name."""
HEADERS = {"User-Agent": "ordain-agent", "Accept-Encoding": "identity"}
_FROM = re.compile(r"bytes ([0-9]{1,15})-")
_INNER = re.compile(r"^\w+\([^()]*\): (?:Failed to establish a new connection: )?|\[Errno -?[0-9]+\] | \(_ssl\.c:[0-9]+\)")
"""What people can do nothing with: `TlsConnection(host='127.0.0.1', port=8420): `, `[Errno 111] `, ` (_ssl.c:1006)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What a server sends of a file: `chunks` from byte `offset` on. It must be read, or its connection is lost."""

    offset: int
    chunks: Iterator[bytes]


class Http:
    """Connections that are kept open between polls; one answer at a time.

    The installation's own server is spoken with as `use` says, everybody else by the system's roots and without a certificate of ours.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self.dated: tuple[str, datetime] | None = None
        """What the server's last answer said of the time (`Date`, RFC 9110, section 6.6.1), and this host's clock then."""
        self._bounds = Bounds()
        self._elsewhere = self._made()
        self._tls: Tls | None = None
        self._own = self._elsewhere
        if tls is not None:
            self.use(tls)

    def use(self, tls: Tls) -> None:
        """Speak with the server like this from the next request on; raises `MalformedError` where that can't be, and stays as it was."""
        own = self._made(tls.context())
        if self._own is not self._elsewhere:
            self._own.clear()
        self._own, self._tls = own, tls

    def _made(self, context: ssl.SSLContext | None = None) -> urllib3.PoolManager:
        pool = urllib3.PoolManager(
            num_pools=4,
            maxsize=1,
            headers=HEADERS,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=GAP_SECONDS),
            retries=False,
            ssl_minimum_version=ssl.TLSVersion.TLSv1_2,
            ssl_context=context,
        )
        pool.pool_classes_by_scheme = pool_classes(self._bounds)
        return pool

    def close(self) -> None:
        """Close all connections."""
        self._own.clear()
        self._elsewhere.clear()

    def interrupt(self) -> None:
        """Break off the answer that is held back, if one is; from a signal handler."""
        self._bounds.interrupt()

    def post(self, url: str, body: bytes, *, limit: int, hold: float = 0) -> bytes:
        """Return the answer to `body`, JSON, which the server may hold back for `hold` seconds.

        Raises:
            NotGrantedError: a status of 400 or above.
            InterruptedHoldError: broken off by `interrupt`.
            TooMuchError, TooSlowError, RetryError: as `stream`.
        """
        return self._asked("POST", url, body, limit=limit, hold=hold)

    def get(self, url: str, *, limit: int) -> bytes:
        """Return the body of `url`, where refusals are told by their codes; raises as `post` does."""
        return self._asked("GET", url, None, limit=limit, hold=0)

    def _asked(self, method: str, url: str, body: bytes | None, *, limit: int, hold: float) -> bytes:
        seconds = hold + PATIENCE_SECONDS + limit / SLOWEST
        self._bounds.begin(url, limit=limit, seconds=seconds, gap=hold + GAP_SECONDS, held=hold > 0)
        try:
            with _as_ours(url):
                pool, headers = self._pool(url), {**HEADERS, **({"Content-Type": "application/json"} if body is not None else {})}
                timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=hold + GAP_SECONDS)
                response = pool.request(method, url, body=body, headers=headers, redirect=False, preload_content=False, timeout=timeout)
                self._note_date(url, response)
                if response.status in (OK, CREATED):
                    return b"".join(self._body(response, url, limit, CHUNK))
                said, headers = _read_error(response), dict(response.headers)
        finally:
            self._bounds.released()
        raise not_granted(url, response.status, said, headers)

    def _note_date(self, url: str, response: urllib3.BaseHTTPResponse) -> None:
        if self._tls is not None and self._tls.is_for(url):
            self.dated = response.headers.get("Date", ""), datetime.now(UTC)

    def _pool(self, url: str) -> urllib3.PoolManager:
        return self._own if self._tls is not None and self._tls.is_for(url) else self._elsewhere

    def stream(self, url: str, *, limit: int, redirects: bool = False) -> Iterator[bytes]:
        """Yield the body of `url` as it was sent, never decoded, in chunks of at most `limit` bytes together.

        Raises:
            DownloadHTTPError: another status than 200.
            TooMuchError: larger than `limit`.
            TooSlowError: it would take longer than it may.
            RetryError: not reachable, or broken off.
        """
        with _as_ours(url):
            seconds = ARTIFACT_SECONDS if redirects else PATIENCE_SECONDS + limit / SLOWEST
            response = self._open(url, limit, seconds=seconds, redirects=redirects)
            yield from self._body(response, url, limit, CHUNK)

    def read(self, url: str, *, limit: int) -> bytes:
        """Return the body of `url`; raises as `stream` does."""
        return b"".join(self.stream(url, limit=limit))

    def read_again(self, url: str, *, limit: int, known: bytes | None) -> bytes:
        """Return the body of `url`, which the server need not send if it is `known`; raises as `stream` does.

        Its ETag is taken to be the SHA-256 of the body, as `serve` has it (RFC 9110, section 13.1.2); where it isn't, all is sent.
        """
        headers = {"If-None-Match": f'"{hashlib.sha256(known).hexdigest()}"'} if known is not None else {}
        with _as_ours(url):
            response = self._open(
                url, limit, seconds=PATIENCE_SECONDS + limit / SLOWEST, headers=headers, wanted=(OK, NOT_MODIFIED) if headers else (OK,)
            )
            if response.status == NOT_MODIFIED and known is not None:
                _read_error(response)
                return known
            return b"".join(self._body(response, url, limit, CHUNK))

    def resume(self, url: str, *, offset: int, etag: str, limit: int, seconds: float, redirects: bool, chunk: int) -> Rest:
        """Return `url` from byte `offset` on, or from its beginning where the server can't, or has other content than `etag`.

        RFC 9110, sections 13.1.5 and 14. Without an `etag` the range is asked for unconditionally.

        Raises:
            as `stream`; DownloadHTTPError with 416 where there is nothing from `offset` on.
        """
        headers = {"Range": f"bytes={offset}-", **({"If-Range": etag} if etag else {})} if offset else {}
        with _as_ours(url):
            response = self._open(
                url, limit, seconds=seconds, redirects=redirects, headers=headers, wanted=(OK, PARTIAL) if offset else (OK,)
            )
            start = _FROM.match(response.headers.get("Content-Range", "")) if response.status == PARTIAL else None
            if response.status == PARTIAL and (start is None or int(start[1]) != offset):
                response.close()
                message = f"{url}: asked for what comes after byte {offset}, it sent something else"
                raise RetryError(message)
            offset = offset if start else 0
            return Rest(offset=offset, chunks=self._body(response, url, limit - offset, chunk))

    def _body(self, response: urllib3.BaseHTTPResponse, url: str, limit: int, chunk_size: int) -> Iterator[bytes]:
        received = 0
        with _as_ours(url), _connection_kept_if_read(response):
            for chunk in response.stream(chunk_size, decode_content=False):
                received += len(chunk)
                if received > limit:
                    raise self._bounds.too_much()
                yield chunk

    def _open(
        self,
        url: str,
        limit: int,
        *,
        seconds: float,
        redirects: bool = False,
        headers: Mapping[str, str] | None = None,
        wanted: tuple[int, ...] = (OK,),
    ) -> urllib3.BaseHTTPResponse:
        for _ in range(REDIRECTS_LIMIT + 1):
            self._bounds.begin(url, limit=limit, seconds=seconds, gap=GAP_SECONDS)
            response = self._pool(url).request("GET", url, redirect=False, preload_content=False, headers={**HEADERS, **(headers or {})})
            self._note_date(url, response)
            if response.status in wanted:
                return response
            location = response.headers.get("Location", "")
            _read_error(response)
            if not (redirects and response.status in FOUND and location):
                raise _status_error(url, response.status, location)
            url = next_address(url, location)
        message = f"{url}: more than {REDIRECTS_LIMIT} redirects"
        raise RetryError(message)


@contextlib.contextmanager
def _as_ours(url: str) -> Iterator[None]:
    """Turn the HTTP library's errors into `RetryError`."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        message = f"{url}: {_reason(error)}"
        raise in_our_words(url, error) or RetryError(message) from error


@contextlib.contextmanager
def _connection_kept_if_read(response: urllib3.BaseHTTPResponse) -> Iterator[None]:
    """Return the connection to the pool if the body was read to its end, else close it: its rest would answer the next request."""
    try:
        yield
    except BaseException:
        response.close()
        raise
    response.release_conn()


def _read_error(response: urllib3.BaseHTTPResponse) -> bytes:
    """Return what an answer says of an error, within a bound, and keep its connection if that was all."""
    with _connection_kept_if_read(response):
        said = response.read(ERROR_LIMIT, decode_content=False)
    if not response.closed:
        response.close()
    return said


def _status_error(url: str, status: int, location: str) -> DownloadHTTPError:
    aside = ""
    if status in FOUND:
        aside = f" to {location[:200]!r}: repositories are never redirected. Is --server right, and does nothing else answer there?"
    return DownloadHTTPError(f"{url}: HTTP {status}{aside}", status)


def next_address(url: str, location: str) -> str:
    """Return where a redirect leads.

    Raises:
        RefusedError: to another host without https, or away from https.
        RetryError: to nowhere.
    """
    try:
        target = urljoin(url, location)
        here, there = urlsplit(url), urlsplit(target)
    except ValueError as error:
        message = f"{url}: redirects to {location[:200]!r}, which is no address"
        raise RetryError(message) from error
    if there.scheme != "https" and (there.scheme, there.hostname) != (here.scheme, here.hostname):
        message = f"{url}: redirects to {target[:200]}, which is not https"
        raise RefusedError(message)
    return target


def _reason(error: Exception) -> str:
    """Return why, without what the HTTP library calls its own objects and the system its numbers."""
    cause = getattr(error, "reason", None) or error
    said = [str(one).removesuffix(".") for one in getattr(cause, "args", ()) if isinstance(one, str | Exception)]
    return _INNER.sub("", ": ".join(said) or str(cause))


class CheckedFetcher(FetcherInterface):
    """Feeds the TUF client of one fleet with metadata that says it belongs there."""

    def __init__(self, http: Http, binding: Binding, metadata: Path, answered: Answered | None = None) -> None:
        """`metadata` is where the TUF client keeps its copies: a timestamp that is still the same is taken from there.

        What a watch `answered` is not asked for again.
        """
        self._answered = answered
        self._http = http
        self._binding = binding
        self._metadata = metadata

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._http.stream(url, limit=0)  # pragma: no cover - the client only asks for bounded bytes

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return the metadata at `url`.

        Raises:
            DownloadHTTPError, RetryError: it could not be had.
            RefusedError: it is another tenant's or another fleet's, or says nothing of whose it is.
            MalformedError: it is larger than it may be, or no metadata.
        """
        name = url.rpartition("/")[2]
        kept = self._metadata / name
        data = self.read(url, limit=max_length, known=kept.read_bytes() if name == TIMESTAMP and kept.is_file() else None)
        self._binding.check(data, role=name.removesuffix(".json").rpartition(".")[2], what=url)
        return data

    def read(self, url: str, *, limit: int, known: bytes | None = None) -> bytes:
        """Return the body of a file of the repository, which may be `known`; raises as `download_bytes` does."""
        found = self._answered.find(url, known) if self._answered is not None else None
        if found is not None and len(found) <= limit:
            return found
        try:
            return self._http.read_again(url, limit=limit, known=known)
        except TooMuchError as error:
            message = f"{error}. Nothing of it is used: see what answers at this address"
            raise MalformedError(message) from error
