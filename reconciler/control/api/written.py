"""Answers to agents that are written as they are: aiohttp puts each one together anew, which takes several times what sending it does.

Where thousands are told of news at the same moment, what they ask next is not read before all are told: or else the last would hear of it
twice as late.
"""

import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, web

from reconciler.control.watch.waiting import Waiting


class _Written(web.StreamResponse):
    """Stands for an answer that was written already, on a connection that is used again."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection is used again."""
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""


_WRITTEN = _Written()
"""One for all: it keeps nothing of any of them."""


async def write(request: web.Request, body: bytes, waiting: Waiting) -> web.StreamResponse:
    """Answer with JSON that nobody keeps, and return what the handler returns then."""
    if waiting.released or not request.keep_alive or request.version < HttpVersion11:
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})
    try:
        await request.writer.write(b"%s%d\r\n\r\n%s" % (_head(int(time.time())), len(body), body))
    except ConnectionError:
        return web.Response()  # whoever asked is gone: aiohttp finds that out too, and takes it for nothing unusual
    return _WRITTEN


async def tell(request: web.Request, body: bytes, waiting: Waiting) -> web.StreamResponse:
    """Answer as `write` does one that waited, and read nothing more of it while others are being told of news."""
    answered, connection = await write(request, body, waiting), request.transport
    if waiting.telling and answered is _WRITTEN and connection is not None:
        connection.pause_reading()
        try:
            await waiting.all_told()
        finally:
            connection.resume_reading()
    return answered


@lru_cache(maxsize=1)
def _head(second: int) -> bytes:
    """Return all of an answer's head but the length of the body, at a second since 1970."""
    date = formatdate(second, usegmt=True)
    return f"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: application/json\r\nDate: {date}\r\nContent-Length: ".encode()
