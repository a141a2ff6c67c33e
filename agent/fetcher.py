"""All that the agent fetches: bounded in size and time, and TUF metadata held to its tenant and fleet.

The tenant and fleet of metadata are checked before the TUF client sees the bytes: one fleet's timestamp, correctly
signed by keys that all of a tenant's fleets share, would otherwise be taken by another fleet and block it for good.
The parser is the one that python-tuf uses, so both read the same value from the same bytes.
"""

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from agent.protocol.errors import MalformedError, RefusedError, RetryError

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""Between two chunks."""
TOTAL_SECONDS = 300.0
"""For one metadata file or bundle: a server that drips bytes may not hold up the other fleets for longer."""
ARTIFACT_SECONDS = 3600.0
CHUNK = 256 * 1024
REDIRECTS_LIMIT = 5
"""Of artifacts only: release pages redirect to object stores. Metadata and bundles are never redirected."""
OK, FOUND = 200, (301, 302, 303, 307, 308)

BINDINGS = {"root": "x-tenant", "targets": "x-tenant"}
"""Role → the signed field that says whose it is; every other role is a fleet's."""
FLEET_FIELD = "x-fleet"


class Http:
    """One pool of connections, kept open between polls."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(
            num_pools=4,
            maxsize=1,
            headers={"User-Agent": "ordain-agent", "Accept-Encoding": "identity"},
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=False,
            ssl_minimum_version=ssl.TLSVersion.TLSv1_2,
        )

    def stream(self, url: str, *, limit: int, redirects: bool = False) -> Iterator[bytes]:
        """Yield the body of `url` in chunks, at most a chunk past `limit` bytes.

        Raises:
            DownloadHTTPError: another status than 200.
            RetryError: not reachable, broken off, too slow, or larger than `limit`.
        """
        deadline = time.monotonic() + (ARTIFACT_SECONDS if redirects else TOTAL_SECONDS)
        received = 0
        try:
            response = self._open(url, redirects)
            with _connection_kept_if_read(response):
                for chunk in response.stream(CHUNK, decode_content=False):
                    received += len(chunk)
                    if received > limit or time.monotonic() > deadline:
                        message = f"{url}: more than {limit} bytes, or too slow; broken off"
                        raise RetryError(message)
                    yield chunk
        except urllib3.exceptions.HTTPError as error:
            message = f"{url}: {_reason(error)}"
            raise RetryError(message) from error

    def read(self, url: str, *, limit: int) -> bytes:
        """Return the body of `url`; raises as `stream` does."""
        return b"".join(self.stream(url, limit=limit))

    def _open(self, url: str, redirects: bool) -> urllib3.BaseHTTPResponse:  # noqa: FBT001 - private, and clear where it is called
        for _ in range(REDIRECTS_LIMIT + 1):
            response = self._pool.request("GET", url, redirect=False, preload_content=False)
            if response.status == OK:
                return response
            location = response.headers.get("Location", "")
            response.drain_conn()
            response.release_conn()
            if not (redirects and response.status in FOUND and location):
                message = f"{url}: HTTP {response.status}"
                raise DownloadHTTPError(message, response.status)
            url = _next(url, location)
        message = f"{url}: more than {REDIRECTS_LIMIT} redirects"
        raise RetryError(message)


@contextlib.contextmanager
def _connection_kept_if_read(response: urllib3.BaseHTTPResponse) -> Iterator[None]:
    """Return the connection to the pool if the body was read to its end, else close it: its rest would answer the next request."""
    try:
        yield
    except BaseException:
        response.close()
        raise
    response.release_conn()


def _next(url: str, location: str) -> str:
    target = urljoin(url, location)
    if urlsplit(target).scheme != "https" and urlsplit(target).hostname != urlsplit(url).hostname:
        message = f"{url}: redirects to {target}, which is not https"
        raise RefusedError(message)
    return target


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)


class CheckedFetcher(FetcherInterface):
    """Feeds the TUF client of one fleet with metadata that says it belongs there."""

    def __init__(self, http: Http, *, tenant: str, fleet: str) -> None:
        self._http = http
        self._tenant = tenant
        self._fleet = f"{tenant}/{fleet}"

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._http.stream(url, limit=0)  # pragma: no cover - the client only asks for bounded bytes

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return the metadata at `url`.

        Raises:
            DownloadHTTPError, RetryError: it could not be had.
            RefusedError: it is another tenant's or another fleet's, or says nothing of whose it is.
        """
        data = self._http.read(url, limit=max_length)
        self.check(data, role=url.rpartition("/")[2].removesuffix(".json").rpartition(".")[2], what=url)
        return data

    def check(self, data: bytes, *, role: str, what: str) -> None:
        """Raise `RefusedError` unless metadata of `role` names this fetcher's tenant or fleet."""
        field = BINDINGS.get(role, FLEET_FIELD)
        expected = self._tenant if field in BINDINGS.values() else self._fleet
        found = _signed(data, what).get(field)
        if found != expected:
            said = f"is of {found!r}" if found is not None else f"has no {field}, so it could be anybody's"
            message = f"{what}: {said}; expected {expected!r}. Nothing of it is used"
            raise RefusedError(message)


def _signed(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        message = f"{what}: not JSON ({error})"
        raise MalformedError(message) from error
    signed = document.get("signed") if isinstance(document, dict) else None
    if not isinstance(signed, dict):
        message = f"{what}: no signed part"
        raise MalformedError(message)
    return signed
