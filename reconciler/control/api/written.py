"""Answers to waiting agents: where thousands are told of news at the same moment, each gets bytes that are written as they are.

aiohttp puts an answer together anew for each of them, which takes several times what sending it does. And what they ask next is not read
before all are told, or else the last would hear of the news twice as late.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

from aiohttp import HttpVersion11, web

from reconciler.control.watch.answers import Answers

HEADERS = {"Cache-Control": "no-store"}


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


async def tell(request: web.Request, body: bytes, answers: Answers) -> web.StreamResponse:
    """Answer a request that was held with JSON; return what its handler returns."""
    if not answers.telling or not request.keep_alive or request.version < HttpVersion11:
        return web.Response(body=body, content_type="application/json", headers=HEADERS)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\n"
    await request.writer.write(f"{head}Date: {formatdate(usegmt=True)}\r\n\r\n".encode() + body)
    with _deaf(request):
        await answers.all_told()
    return _WRITTEN


@contextmanager
def _deaf(request: web.Request) -> Iterator[None]:
    """Leave unread what comes on a request's connection meanwhile."""
    connection = request.transport
    if connection is None:
        yield
        return
    connection.pause_reading()
    try:
        yield
    finally:
        connection.resume_reading()
