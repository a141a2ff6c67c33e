"""The connection of one simulated host: HTTP/1.1 with keep-alive over TLS, one request after the other.

A client of a few lines, since thousands of them share an interpreter with all else: what an HTTP library does besides would be most of
what they cost.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

from agent.protocol.enrolment import Refusal

ANSWER_LIMIT = 8_500_000
"""Bytes of an answer: as much as the largest of the protocol."""
SECONDS = 120.0
"""For one answer, beyond what it may be held."""


class RefusedAnswerError(Exception):
    """The server's refusal, in its words."""

    def __init__(self, status: int, refusal: Refusal) -> None:
        super().__init__(f"{status} {refusal.code}: {refusal.error}")
        self.status, self.refusal = status, refusal


class BrokenLineError(Exception):
    """The connection is gone, or could not be made."""


@dataclass(slots=True, kw_only=True)
class Line:
    """Speaks with `host`:`port` from the address `own`, and connects again by itself after `close`."""

    host: str
    port: int
    own: str
    context: ssl.SSLContext
    token: str = ""
    """An operator's; "" for hosts."""
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, init=False)

    async def post(self, path: str, body: bytes, *, hold: float = 0) -> bytes:
        """Return the answer to a body, which may be held; raise `RefusedAnswerError` or `BrokenLineError`."""
        return await self._asked("POST", path, body, hold)

    async def get(self, path: str) -> bytes:
        """Return a file; raises as `post`."""
        return await self._asked("GET", path, b"", 0)

    def close(self) -> None:
        """Cut the connection, as a lost network would."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _asked(self, method: str, path: str, body: bytes, hold: float) -> bytes:
        try:
            async with asyncio.timeout(SECONDS + hold):
                status, data = await self._exchange(method, path, body)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError) as error:
            self.close()
            message = f"{method} {path}: {error!r}"
            raise BrokenLineError(message) from error
        except asyncio.CancelledError:
            self.close()
            raise
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise RefusedAnswerError(status, _refusal(data))
        return data

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                self.host, self.port, ssl=self.context, local_addr=(self.own, 0), limit=ANSWER_LIMIT
            )
        reader, writer = self._streams
        bearer = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        about = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUser-Agent: ordain-agent\r\n{bearer}{about}\r\n"
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        data = await reader.readexactly(int(headers.get("content-length", "")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split(" ", 2)[1]), data


def _refusal(data: bytes) -> Refusal:
    try:
        return msgspec.json.decode(data, type=Refusal)
    except msgspec.MsgspecError:
        return Refusal(code="", error=data[:200].decode(errors="replace"))
