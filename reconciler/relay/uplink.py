"""The server that a relay stands for: asked by the host's certificate, which is followed as the host's agent renews it."""

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import urllib3

from agent.protocol import codec
from agent.protocol.enrolment import Refusal
from agent.protocol.errors import MalformedError, RetryError
from reconciler.control.authority.listening import load_chain
from reconciler.mirror.sources import HttpSource
from reconciler.relay.identity import RelayIdentity, current_number, read_identity

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""For an answer, beside the time that it is asked to be held."""
RETRY_LIMIT = 600
"""Seconds: an uplink that asks for more peace is asked again then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the uplink said."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The code of a refusal, "" where it says none."""
        try:
            return codec.decode(self.body, Refusal, what="refusal").code
        except MalformedError:
            return ""

    @property
    def retry_after(self) -> float:
        """The seconds after which to ask again, 0 where it does not say."""
        stated = self.headers.get("Retry-After", "")
        return min(float(stated), RETRY_LIMIT) if stated.isascii() and stated.isdecimal() else 0.0


class Uplink:
    """Asks one server; `is_up` is whether it answered last. For one event loop, but `source`, which is for threads."""

    def __init__(self, server: str, directory: Path) -> None:
        """`directory` is the agent's; `server` "" is the one that it enrolled with.

        Raises:
            InputError, MalformedError: the host is not enrolled.
        """
        self.is_up = False
        self._directory = directory
        self.identity = read_identity(directory)
        self.server = server or self.identity.server
        self._context = _context(self.identity)
        self._session: aiohttp.ClientSession | None = None

    async def follow(self) -> bool:
        """Take over a certificate that the agent renewed; return whether there was one. What can't be read leaves the old one."""
        if await asyncio.to_thread(current_number, self._directory) == self.identity.number:
            return False
        identity = await asyncio.to_thread(read_identity, self._directory)
        self._context, self.identity = _context(identity), identity
        await self.close()
        return True

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, method: str, path: str, body: bytes = b"", *, limit: int, hold: float = 0) -> Answer:
        """Return the answer, whatever its status; raise `RetryError` where there is none, or one of more than `limit` bytes."""
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._context, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        timeout = aiohttp.ClientTimeout(total=hold + ANSWER_SECONDS, connect=CONNECT_SECONDS)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            async with self._session.request(
                method, self.server + path, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                data = await response.content.read(limit + 1)
                while len(data) <= limit and not response.content.at_eof():
                    data += await response.content.read(limit + 1 - len(data))
                found = Answer(status=response.status, body=data, headers=dict(response.headers))
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:  # RuntimeError: the session was closed by a renewal
            self.is_up = False
            message = f"{self.server}: {str(error) or type(error).__name__}"
            raise RetryError(message) from error
        self.is_up = True
        if len(found.body) > limit:
            message = f"{self.server}{path}: more than {limit} bytes"
            raise RetryError(message)
        return found

    async def require(self, method: str, path: str, body: bytes = b"", *, limit: int, hold: float = 0) -> bytes:
        """Return the body of an answer that grants what was asked for; raises `RetryError`, see `ask`, also for any other."""
        found = await self.ask(method, path, body, limit=limit, hold=hold)
        if found.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            message = f"{self.server}{path}: HTTP {found.status} {found.code}"
            raise RetryError(message)
        return found.body

    @contextmanager
    def source(self) -> Iterator[HttpSource]:
        """Give what repositories are copied from, by connections of its own."""
        with urllib3.PoolManager(ssl_context=self._context, retries=False, maxsize=1) as pool:
            yield HttpSource(self.server, pool)


def _context(identity: RelayIdentity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=identity.authority)
        load_chain(context, identity.chain + identity.key)
    except (ssl.SSLError, OSError, ValueError) as error:
        message = f"the host's certificate can't be used: {error}; enrol it again: ordain-agent enroll"
        raise MalformedError(message) from error
    return context
