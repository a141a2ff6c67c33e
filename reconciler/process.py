"""Running loops and listeners in one process: one state directory, one stop, one way out.

Loops run in threads and are asked to stop by an event; a step that has begun is finished. A loop that dies of a
fault of ours ends the process with exit code 3, so that whoever supervises it starts it again from the store.
"""

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from aiohttp import web

from agent.protocol import durable
from agent.protocol.errors import OrdainError, RefusedError, RetryError

_log = logging.getLogger(__name__)
Loop = Callable[[threading.Event], None]
Factory = Callable[[], asyncio.Protocol]
STOP_GRACE = 30.0
"""Seconds that loops have to finish their step after SIGTERM."""
HANDSHAKE_SECONDS = 10.0
"""That a TLS handshake may take: three round trips to the slowest of links, and no more for those who only want to hold a place."""
SHUTDOWN_SECONDS = 5.0
"""That a request under way may take after SIGTERM; those who wait for news are not waited for longer."""
AUTHORITY_EVERY = 1.0
"""Seconds between looks for a certificate authority where there is none yet."""


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold a state directory for this process alone, for as long as the block lasts, also against `kill -9`.

    Temporary files go below it meanwhile: so the next start can remove those of a process that was killed.

    Raises:
        RefusedError: another process works on it.
    """
    durable.make_directory(state, mode=0o700)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            message = f"{state}: another process (pid {holder}) works on this state directory; stop it, or name another with --state"
            raise RefusedError(message) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        with _scratch(state / "tmp"):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def _scratch(directory: Path) -> Iterator[None]:
    """Have this process's temporary files made in an empty directory, which goes at the end."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(directory)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One address that is listened on; `said` is called with the URL once it answers.

    `context` makes it TLS: it is asked again every second until there is one, since an authority may come later than the process.
    `missing` says meanwhile what is waited for. `guard` stands between the connection and HTTP, `beside` runs as long as the listener.
    """

    application: web.Application
    address: tuple[str, int]
    said: Callable[[str], None]
    context: Callable[[], ssl.SSLContext | None] | None = None
    guard: Callable[[Factory], Factory] = field(default=lambda factory: factory)
    beside: tuple[Callable[[], Coroutine[None, None, None]], ...] = ()
    backlog: int = 128
    missing: str = "there is no certificate authority; run `ordain keys init --zone authority`"


def run(loops: Mapping[str, Loop], listeners: Sequence[Listener]) -> int:
    """Run loops and listeners until SIGTERM, SIGINT or a loop's death; return the process's exit code.

    Raises:
        RetryError: an address can't be listened on.
    """
    return asyncio.run(_run(loops, listeners))


async def _run(loops: Mapping[str, Loop], listeners: Sequence[Listener]) -> int:
    stop, ended = threading.Event(), asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, ended.set)
    failed: list[str] = []
    async with AsyncExitStack() as open_now:
        for listener in listeners:
            await _open(listener, open_now, ended, failed)
        threads = [_start(name, loop, stop, lambda name: _dead(name, failed, running, ended)) for name, loop in loops.items()]
        await ended.wait()
        stop.set()
        await asyncio.gather(*(asyncio.to_thread(thread.join, STOP_GRACE) for thread in threads))
    return 3 if failed else 0


async def _open(listener: Listener, open_now: AsyncExitStack, ended: asyncio.Event, failed: list[str]) -> None:
    """Listen, at once where nothing is waited for."""
    runner = web.AppRunner(listener.application, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    open_now.push_async_callback(runner.cleanup)
    for task in listener.beside:
        _beside(task(), open_now, ended, failed)
    context = await asyncio.to_thread(listener.context) if listener.context else None
    if listener.context and context is None:
        host, port = listener.address
        _log.warning("nobody listens on %s:%d yet: %s", host, port, listener.missing)
        _beside(_later(listener, runner, open_now), open_now, ended, failed)
        return
    await _listen(listener, runner, open_now, context)


async def _later(listener: Listener, runner: web.AppRunner, open_now: AsyncExitStack) -> None:
    assert listener.context is not None  # noqa: S101 - others are listened on at once
    while (context := await asyncio.to_thread(listener.context)) is None:  # noqa: ASYNC110 - it comes by a file of another process
        await asyncio.sleep(AUTHORITY_EVERY)
    await _listen(listener, runner, open_now, context)


async def _listen(listener: Listener, runner: web.AppRunner, open_now: AsyncExitStack, context: ssl.SSLContext | None) -> None:
    host, port = listener.address
    factory = listener.guard(cast("Factory", runner.server))
    handshake = HANDSHAKE_SECONDS if context else None
    try:
        server = await asyncio.get_running_loop().create_server(
            factory, host, port, ssl=context, backlog=listener.backlog, ssl_handshake_timeout=handshake
        )
    except OSError as error:
        message = f"can't listen on {host}:{port}: {error.strerror}; stop what does, or choose another port"
        raise RetryError(message) from error
    open_now.callback(server.close)
    bound = server.sockets[0].getsockname()[1]
    listener.said(f"{'https' if context else 'http'}://{f'[{host}]' if ':' in host else host}:{bound}")


def _beside(work: Coroutine[None, None, None], open_now: AsyncExitStack, ended: asyncio.Event, failed: list[str]) -> None:
    """Run a task until the end; one that dies ends the process, as a loop that dies does."""
    task = asyncio.create_task(work)

    def done(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("a task beside the listener died: %s", error, exc_info=None if isinstance(error, OrdainError) else error)
            failed.append("listener")
            ended.set()

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    task.add_done_callback(done)
    open_now.push_async_callback(end)


def _start(name: str, loop: Loop, stop: threading.Event, dead: Callable[[str], None]) -> threading.Thread:
    def body() -> None:
        try:
            loop(stop)
        except Exception:  # noqa: BLE001 - the last place that sees a thread's error; it is logged and ends the process
            _log.exception("%s died; this is a fault of ordain, please report it", name)
            dead(name)

    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    return thread


def _dead(name: str, failed: list[str], running: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    failed.append(name)
    running.call_soon_threadsafe(ended.set)
