"""Where the control zone listens: loopback only, until enrolment and mutual TLS exist."""

import asyncio
import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from agent.protocol.errors import InputError, RetryError

BACKLOG = 4096
"""Connections that may wait to be accepted: the default of 128 took a minute for 10,000 agents."""
STOP_SECONDS = 5.0
"""How long requests that are under way may still take when the listener ends."""


def require_loopback(host: str) -> str:
    """Return `host` if it is a loopback address; raise `InputError` if others could reach it."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        message = (
            f"--listen {host}: only loopback addresses (127.0.0.1, ::1) are possible: agents can't be told apart before "
            "enrolment and mutual TLS, which come with a later version"
        )
        raise InputError(message)
    return host


@contextmanager
def listening(application: web.Application, host: str, port: int) -> Iterator[str]:
    """Serve an application from a thread of its own while the context lasts; yield its address (`http://127.0.0.1:8420`).

    `port` 0 takes a free one.

    Raises:
        InputError: not a loopback address.
        RetryError: the address is taken.
    """
    require_loopback(host)
    loop = asyncio.new_event_loop()
    try:
        runner, url = loop.run_until_complete(_start(application, host, port))
    except OSError as error:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        message = f"can't listen on {host}:{port}: {error.strerror or error}; choose another port with --listen"
        raise RetryError(message) from error
    thread = threading.Thread(target=loop.run_forever, name="ordain-listener", daemon=True)
    thread.start()
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _start(application: web.Application, host: str, port: int) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError:
        await runner.cleanup()
        raise
    bound_host, bound_port = runner.addresses[0][:2]
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    return runner, f"http://{shown}:{bound_port}"
