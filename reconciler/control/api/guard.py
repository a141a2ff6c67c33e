"""Connections that take their time: cut off before they use up what others need.

Between the first byte of a request and its last header there are some seconds, and some more between the handshake and the first
request; a client that does not read its answer is waited for a minute. One address may have only so many connections that have asked
nothing yet. Bodies are bounded where they are read (`bodies.py`), handshakes by the listener.

`guarded` stands between the listener and aiohttp: `loop.create_server(guards.guarded(runner.server), …)`, and `guards.middleware` is the
first of the application's.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web

LOOK_EVERY = 1.0
"""Seconds between looks at all connections. One timer for all: one for each request would cost more than what it guards."""
HEADER_SECONDS = 10.0
"""From the first byte of a request, or from the handshake, to the end of its headers."""
STALLED_SECONDS = 60.0
"""That a client may leave its answer unread."""
SILENT_LIMIT = 2000
"""Connections of one address that have asked nothing yet: a site of thousands of hosts behind one address comes back without being hurt."""
NEVER = float("inf")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guards:
    """The connections of one listener; `cut` counts those that were cut off, by reason."""

    def __init__(self) -> None:
        """No connection yet."""
        self.cut: Counter[str] = Counter()
        self.silent: Counter[str] = Counter()
        """Connections that have asked nothing yet, by address."""
        self._of: dict[object, _Guard] = {}
        self._looking = False

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._of)

    def guarded(self, factory: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return what makes the same protocols as `factory`, each under guard."""
        return lambda: _Guard(factory(), self)

    def add(self, inner: object, guard: "_Guard") -> None:
        """Know a connection by aiohttp's protocol, which requests name."""
        self._of[inner] = guard
        if not self._looking:
            self._look()

    def drop(self, inner: object) -> None:
        """Forget a connection."""
        self._of.pop(inner, None)

    def _look(self) -> None:
        """Cut off whoever takes too long, and look again as long as there are connections."""
        now = time.monotonic()
        for guard in list(self._of.values()):
            guard.look(now)
        self._looking = bool(self._of)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell the connection's guard that a request is whole, and when it is answered."""
        guard = self._of.get(request.protocol)
        if guard is None:
            return await handler(request)
        guard.asked()
        try:
            return await handler(request)
        finally:
            guard.answered()


class _Guard(asyncio.Protocol):
    """One connection; passes on everything to `inner`."""

    __slots__ = ("_address", "_asking", "_expected", "_guards", "_inner", "_read", "_silent", "_transport")

    def __init__(self, inner: asyncio.Protocol, guards: Guards) -> None:
        self._inner = inner
        self._guards = guards
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._silent = False
        self._asking = False
        self._expected = self._read = NEVER
        """Until when a request must be whole, and an answer be read on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a listener makes
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._silent = True
        self._expected = time.monotonic() + HEADER_SECONDS
        self._guards.silent[self._address] += 1
        self._guards.add(self._inner, self)
        self._inner.connection_made(transport)
        if self._guards.silent[self._address] > SILENT_LIMIT:
            self._cut("silent")

    def data_received(self, data: bytes) -> None:
        if self._expected == NEVER and not self._asking:
            self._expected = time.monotonic() + HEADER_SECONDS
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._speak()
        self._guards.drop(self._inner)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._read = time.monotonic() + STALLED_SECONDS
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._read = NEVER
        self._inner.resume_writing()

    def asked(self) -> None:
        self._speak()
        self._asking = True
        self._expected = NEVER

    def answered(self) -> None:
        self._asking = False

    def look(self, now: float) -> None:
        """Cut the connection off if it takes too long."""
        if now > self._expected:
            self._cut("slow")
        elif now > self._read:
            self._cut("unread")

    def _speak(self) -> None:
        if self._silent:
            self._silent = False
            self._guards.silent[self._address] -= 1
            if not self._guards.silent[self._address]:
                del self._guards.silent[self._address]

    def _cut(self, why: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._guards.cut[why] += 1
            self._transport.abort()
