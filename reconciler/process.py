"""Running loops and a listener in one process: one state directory, one stop, one way out.

Loops run in threads and are asked to stop by an event; a step that has begun is finished. A loop that dies of a
fault of ours ends the process with exit code 3, so that whoever supervises it starts it again from the store.
"""

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from agent.protocol import durable
from agent.protocol.errors import RefusedError, RetryError

_log = logging.getLogger(__name__)
Loop = Callable[[threading.Event], None]
STOP_GRACE = 30.0
"""Seconds that loops have to finish their step after SIGTERM."""


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


def run(
    loops: Mapping[str, Loop],
    application: web.Application,
    address: tuple[str, int],
    *,
    listening: Callable[[str], None],
) -> int:
    """Run loops and a listener until SIGTERM, SIGINT or a loop's death; return the process's exit code.

    `listening` is called with the listener's URL once it answers.

    Raises:
        RetryError: the address can't be listened on.
    """
    return asyncio.run(_run(loops, application, address, listening))


async def _run(loops: Mapping[str, Loop], application: web.Application, address: tuple[str, int], listening: Callable[[str], None]) -> int:
    stop, ended = threading.Event(), asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, ended.set)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        host, port = address
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            message = f"can't listen on {host}:{port}: {error.strerror}; stop what does, or choose another port"
            raise RetryError(message) from error
        listening(f"http://{host}:{runner.addresses[0][1]}" if ":" not in host else f"http://[{host}]:{runner.addresses[0][1]}")
        failed: list[str] = []
        threads = [_start(name, loop, stop, lambda name: _dead(name, failed, running, ended)) for name, loop in loops.items()]
        await ended.wait()
        stop.set()
        await asyncio.gather(*(asyncio.to_thread(thread.join, STOP_GRACE) for thread in threads))
        return 3 if failed else 0
    finally:
        await runner.cleanup()


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
