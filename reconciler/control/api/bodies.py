"""Bodies of requests, bounded in bytes and time."""

import asyncio

from aiohttp import web

from reconciler.control.refusal import Denied

BODY_SECONDS = 20.0
"""In which a body must be there: a mebibyte at 420 kbit/s."""
BODIES_LIMIT = 64
"""Large bodies that are read at the same time: half of them would be 64 MiB."""
SMALL = 65_536
"""Bytes up to which a body needs no turn of its own."""


class Bodies:
    """Reads bodies; large ones take turns."""

    def __init__(self) -> None:
        """None is being read."""
        self._turns = asyncio.Semaphore(BODIES_LIMIT)

    async def read(self, request: web.Request, *, limit: int) -> bytes:
        """Return the body.

        Raises:
            Denied: too large, too slow, or of unknown length.
        """
        length = request.content_length
        if length is None or length > limit:
            message = f"a body has a Content-Length of at most {limit} bytes here"
            raise Denied("too-much", message)
        if length <= SMALL:
            return await _within(request, limit)
        async with self._turns:
            return await _within(request, limit)


async def _within(request: web.Request, limit: int) -> bytes:
    """Return the body; it may say to be compressed, so what comes out is counted too."""
    if request.content.is_eof():  # as it mostly is by now: then there is nothing to wait for
        whole = request.content.read_nowait()
        if len(whole) <= limit:
            return whole
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                body += part
                if len(body) > limit:
                    message = f"a body has at most {limit} bytes here, unpacked too"
                    raise Denied("too-much", message)
    except TimeoutError as error:
        message = f"the body was not here within {BODY_SECONDS:.0f} seconds; send it again"
        raise Denied("unavailable", message, retry_after=1) from error
    return bytes(body)
