"""Bounds on one answer of a server: how many bytes come off the wire, and how long that may take in all.

A socket's timeout counts from one byte to the next, and a limit on a body counts the body alone: a server that sends a byte now and
then, headers without end, or an endless page about an error would hold an agent for as long as it likes. So bytes and seconds are
counted below HTTP, where they are read: for status line, headers, framing and body together.
"""

import contextlib
import http.client
import io
import math
import socket
import time
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from agent.protocol.errors import RetryError

OVERHEAD = 128 * 1024
"""Bytes of an answer beside its body: status line, headers, framing."""


class TooSlowError(RetryError):
    """An answer that would take longer than it may."""


class TooMuchError(RetryError):
    """An answer that is larger than it may be, or has no end."""


class InterruptedHoldError(RetryError):
    """An answer that was held back, and that nobody waits for any more."""


class Bounds:
    """What is left of the answer that is being read; one after the other, never two at once."""

    def __init__(self) -> None:
        self._held = self._interrupted = False
        self.connection: socket.socket | None = None
        """What the answer comes by."""
        self._url = ""
        self._limit = 0
        self._bytes = 0
        self._seconds = 0.0
        self._deadline = math.inf
        self._gap = 0.0
        self.reading: io.BufferedReader | None = None
        """What the answer is read from."""

    def begin(self, url: str, *, limit: int, seconds: float, gap: float, held: bool = False) -> None:
        """Start to count: `limit` bytes of body, `seconds` in all, at most `gap` seconds without a byte.

        One that is `held` back may be broken off by `interrupt` until it is `released`.
        """
        self._held, self._interrupted, self.connection = held, False, None
        self._url, self._limit, self._seconds, self._gap = url, limit, seconds, gap
        self._bytes = 2 * limit + OVERHEAD
        self._deadline = time.monotonic() + seconds

    def interrupt(self) -> None:
        """Break off the answer that is held back, if one is; from a signal handler, so it only closes what is read from."""
        if not self._held:
            return
        self._interrupted = True
        if self.connection is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)  # TLS's own would wait for the other side

    def released(self) -> None:
        """Be done with what may be broken off; raise `InterruptedHoldError` if it was."""
        self._held, self.connection = False, None
        if self._interrupted:
            self._interrupted = False
            message = f"{self._url}: no longer waited for"
            raise InterruptedHoldError(message)

    def wait(self) -> float:
        """Return the seconds to wait for the next byte; raise `TooSlowError` if none are left, or nobody waits any more."""
        if self._interrupted:
            message = f"{self._url}: no longer waited for"
            raise InterruptedHoldError(message)
        left = self._deadline - time.monotonic()
        if left <= 0:
            message = f"{self._url}: not whole after {self._seconds:.0f} seconds; broken off. Is the server, or the way to it, overloaded?"
            raise TooSlowError(message)
        return min(left, self._gap)

    def count(self, size: int) -> None:
        """Take what was read off what is left; raise `TooMuchError` if it was too much."""
        self._bytes -= size
        if self._bytes < 0:
            raise self.too_much()

    def end(self) -> None:
        """Close what the answer was read from."""
        if self.reading is not None:
            self.reading.close()

    def too_much(self) -> TooMuchError:
        """Return the error of an answer that is too large."""
        return TooMuchError(f"{self._url}: more than the {self._limit} bytes that it may have; broken off")


class _Counted(io.RawIOBase):
    """What comes from a socket, counted."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, bounds: Bounds) -> None:
        self._raw = raw
        self._connection = connection
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(self._bounds.wait())
        try:
            size = self._raw.readinto(buffer)
        except TimeoutError:
            self._bounds.wait()
            raise
        self._bounds.count(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


def pool_classes(bounds: Bounds) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return the kinds of connection pools, by scheme, whose answers keep to `bounds`; for `PoolManager.pool_classes_by_scheme`."""

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
            super().__init__(sock, *arguments, **options)
            bounds.connection = sock
            self.fp = bounds.reading = io.BufferedReader(_Counted(self.fp.detach(), sock, bounds))

    class Connection(HTTPConnection):
        response_class = Response

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3's own
            try:
                return super().getresponse()
            except BaseException:
                bounds.end()  # nobody else knows of it: odd headers may be refused before there is a response to close
                raise

    class TlsConnection(Connection, HTTPSConnection):
        pass

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    return {"http": Pool, "https": TlsPool}
