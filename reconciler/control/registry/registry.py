"""`Registry`: a database, its transactions, and the threads that asyncio code has them run in.

    registry = Registry.open("sqlite:////var/lib/ordain/registry.db")
    registry.migrate()
    with registry.begin() as connection:          # one write transaction: committed at the end, and on the disk then
        agents.quarantine(connection, …)
    with registry.read() as connection: …         # a snapshot; can't write
    page = await registry.ask(agents.listed, agents.Filter(tenants=["shop"]), limit=100)
    token = await registry.run(tokens.use, id_, secret, now=now)

Raises `RetryError` where the database can't be reached or is busy, from all of them.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from reconciler.control.registry import migrating
from reconciler.control.registry.engines import READERS, ConflictError, Engines, open_engines, told
from reconciler.control.registry.wakeups import POLL, Heard, Hub, Listener, take_notes

THREADS = READERS
"""Transactions that asyncio code has under way at once: SQLite writes one by one anyway, and two cores do no more."""
TRIES = 4
"""Of a transaction that another one was in the way of: more in a row means that something else is wrong."""
P = ParamSpec("P")
T = TypeVar("T")


class Registry:
    """A registry; made by `Registry.open`, safe to use from many threads. `close` it at the end."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._hub = Hub()
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="registry")

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> "Registry":
        """Return the registry at a URL, `sqlite:///<path>` or `postgresql://<user>@<host>/<database>`; connects at its first use.

        Raises:
            InputError: not such a URL, or one with a password in it; or, with `create` false, no such file.
        """
        return cls(open_engines(url, create=create))

    @property
    def shown(self) -> str:
        """Its URL, which holds no password."""
        return self._engines.shown

    @property
    def sqlite(self) -> bool:
        """Whether it is on SQLite, else on PostgreSQL."""
        return self._engines.sqlite

    def close(self) -> None:
        """Wait for what is under way in threads, then close all connections."""
        self._threads.shutdown(wait=True)
        self._engines.dispose()

    def migrate(self) -> migrating.Versions:
        """Bring the tables to this version of ordain, one process at a time; return the versions before and after.

        Raises:
            RefusedError: the registry was brought further by a newer ordain than this one can work with.
        """
        with self.begin() as connection:
            return migrating.migrate(connection)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a write transaction: committed, and on the disk, when the block ends; undone where it raises."""
        with told(self._engines.shown):
            with self._engines.writer.begin() as connection:
                take_notes(connection)
                yield connection
                notes = take_notes(connection)
            self._hub.tell(notes)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that only reads; writing in it is an error."""
        with told(self._engines.shown), self._engines.reader.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Give a transaction that only reads, and finds all tables as they are at one instant, however long it takes."""
        reader = self._engines.reader if self.sqlite else self._engines.reader.execution_options(isolation_level="REPEATABLE READ")
        with told(self._engines.shown), reader.begin() as connection:
            yield connection

    def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `function(connection, …)` of a committed write transaction, tried again where another was in its way.

        So the function must change nothing but the registry.
        """
        for attempt in range(1, TRIES + 1):
            try:
                with self.begin() as connection:
                    return function(connection, *args, **kwargs)
            except ConflictError:
                if attempt == TRIES:
                    raise
        raise AssertionError

    def look(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `function(connection, …)` of a transaction that only reads."""
        with self.read() as connection:
            return function(connection, *args, **kwargs)

    async def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `write`, in a thread. Returns after the commit; a caller that is cancelled meanwhile does not undo it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: self.write(function, *args, **kwargs))

    async def ask(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `look`, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: self.look(function, *args, **kwargs))

    @contextmanager
    def listen(self, heard: Heard, *, poll: float = POLL) -> Iterator[None]:
        """Call `heard(channel, payload)` for what `wakeups.notify` tells, here and in other processes, while the block lasts.

        It is called in a thread of its own, first with `("", "")`: look at everything. So it is again after a broken connection,
        and whenever something may have been missed. From asyncio: `heard = lambda *note: loop.call_soon_threadsafe(put, note)`.
        """
        listener = Listener(self._engines, self._hub, heard, poll=poll)
        try:
            yield
        finally:
            listener.stop()
