"""Answers in parts: what is too large to be held, and what a client goes on with after its connection broke.

RFC 9110: one range (section 14.2), `If-Range` and `If-None-Match` with a strong ETag (section 13.1). Several ranges at once
and ranges that aren't understood are passed over, as the RFC allows: the whole is a right answer to any of them.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from agent.protocol.errors import OrdainError

CHUNK = 1024 * 1024
"""Bytes read at a time: what a connection holds of a file, however large that is."""
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
_log = logging.getLogger(__name__)

Read = Callable[[int, int], Awaitable[bytes | None]]
"""From where, and how many bytes at most; None if it is gone."""


async def answer(request: web.Request, read: Read, *, size: int, etag: str, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer with the content that `read` gives, or with the part of it that was asked for."""
    headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    if not {etag, "*"}.isdisjoint(_listed(request.headers.get("If-None-Match", ""))):
        kept = {name: value for name, value in headers.items() if name in {"ETag", "Cache-Control"}}
        return web.Response(status=304, headers=kept)
    wanted = _wanted(request, size, etag)
    if wanted is not None and wanted.start >= size:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
    part = wanted or range(size)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    response = web.StreamResponse(status=200 if wanted is None else 206, headers=headers)
    response.content_length = len(part)
    await response.prepare(request)
    if request.method != "HEAD":
        await _send(request, response, read, part)
    return response


async def _send(request: web.Request, response: web.StreamResponse, read: Read, part: range) -> None:
    """Send a part; if it can't be read any more the connection is cut, which the client can tell from an end."""
    place = part.start
    while place < part.stop:
        try:
            data = await read(place, min(CHUNK, part.stop - place))
        except OrdainError as error:
            _log.warning("%s: %s", request.path, error)
            data = None
        if not data:
            if request.transport is not None:
                request.transport.abort()
            return
        place += len(data)
        await response.write(data)
    await response.write_eof()


def _wanted(request: web.Request, size: int, etag: str) -> range | None:
    """Return the range that was asked for, None if the whole is the answer; one that begins past the end can't be had."""
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    condition = request.headers.get("If-Range")
    if request.method != "GET" or found is None or (condition is not None and condition != etag):
        return None
    first, last = found[1], found[2]
    if not first:
        return range(max(0, size - int(last)) if int(last or 0) else size, size) if last else None
    stop = size if not last else min(size, int(last) + 1)
    return None if last and int(last) < int(first) else range(int(first), max(stop, int(first)))


def _listed(condition: str) -> list[str]:
    return [one.strip().removeprefix("W/") for one in condition.split(",")]
