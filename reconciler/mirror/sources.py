"""Where a mirror copies from: a store (this machine's, or one on a stick), or a server that serves repositories over HTTP."""

import re
from collections.abc import Iterator
from typing import Protocol

import urllib3

from agent.protocol.errors import RetryError
from reconciler.publication import layout
from reconciler.publication.store import Store

FILE_LIMIT = 64 * 1024 * 1024
"""Bytes of one file of a repository: twice the largest bundle. What is listed has a length of its own that the client holds it to."""
CHUNK = 256 * 1024
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
OK, NOT_FOUND = 200, 404
_KEY = re.compile(r"public/(?P<repository>[^/]+/[^/]+)/(?P<file>.+)")


class Source(Protocol):
    """What a mirror asks for; trouble on the way is a `RetryError`."""

    def get(self, key: str) -> bytes | None:
        """Return a file of a repository by its key in the store, None if it isn't there."""
        ...

    def artifact(self, tenant: str, sha256: str) -> Iterator[bytes] | None:
        """Return the bytes of a stored artifact, a tenant's or the library's; None if it isn't there."""
        ...


class StoreSource:
    """Copies from a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: str) -> bytes | None:
        """Return what stands at a key."""
        return self._store.get(key)

    def artifact(self, tenant: str, sha256: str) -> Iterator[bytes] | None:
        """Return the bytes of an artifact, in parts."""
        for key in (layout.artifact(tenant, sha256), layout.artifact("", sha256)):
            size = self._store.size(key)
            if size is not None:
                return self._parts(key, size)
        return None

    def _parts(self, key: str, size: int) -> Iterator[bytes]:
        for start in range(0, size, CHUNK):
            part = self._store.read_range(key, start, CHUNK)
            if part is None:
                message = f"{key}: it went away while it was read"
                raise RetryError(message)
            yield part


class HttpSource:
    """Copies from a server as agents do; `pool` carries the certificates, if any."""

    def __init__(self, server: str, pool: urllib3.PoolManager) -> None:
        """`server` is an address without a trailing slash."""
        self._server = server
        self._pool = pool

    def get(self, key: str) -> bytes | None:
        """Return a file of a repository."""
        found = _KEY.fullmatch(key)
        if found is None:
            return None
        chunks = self._open(f"/v1/repositories/{found['repository']}/{found['file']}", FILE_LIMIT)
        return None if chunks is None else b"".join(chunks)

    def artifact(self, tenant: str, sha256: str) -> Iterator[bytes] | None:
        """Return the bytes of an artifact as they come; the store they go to bounds them."""
        return self._open(f"/v1/artifacts/{tenant}/{sha256}", None)

    def _open(self, path: str, limit: int | None) -> Iterator[bytes] | None:
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        try:
            answer = self._pool.request("GET", self._server + path, preload_content=False, redirect=False, retries=False, timeout=timeout)
        except urllib3.exceptions.HTTPError as error:
            message = f"{self._server}: {error}"
            raise RetryError(message) from error
        if answer.status == OK:
            return _body(answer, f"{self._server}{path}", limit)
        answer.drain_conn()
        if answer.status == NOT_FOUND:
            return None
        message = f"{self._server}{path}: it answered {answer.status}"
        raise RetryError(message)


def _body(answer: urllib3.BaseHTTPResponse, url: str, limit: int | None) -> Iterator[bytes]:
    received = 0
    try:
        for chunk in answer.stream(CHUNK, decode_content=False):
            received += len(chunk)
            if limit is not None and received > limit:
                answer.close()
                message = f"{url}: more than {limit} bytes"
                raise RetryError(message)
            yield chunk
    except urllib3.exceptions.HTTPError as error:
        message = f"{url}: {error}"
        raise RetryError(message) from error
    finally:
        answer.release_conn()
