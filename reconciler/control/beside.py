"""Work that goes on beside an application: begun with it, and ended with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress

from aiohttp import web

Running = Callable[[web.Application], AsyncIterator[None]]


def beside(work: Callable[[], Coroutine[None, None, None]]) -> Running:
    """Return what an application's `cleanup_ctx` takes, so that `work` goes on while the application runs."""

    async def running(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return running
