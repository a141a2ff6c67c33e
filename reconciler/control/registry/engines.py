"""Engines for the two databases, set so that what was committed is on the disk, and errors of theirs as ones that a person can act on.

SQLite: write-ahead log, every commit fsynced, one writer at a time who begins as one (`BEGIN IMMEDIATE`), so that no transaction
fails in its middle; threads of a process queue for the one connection that writes instead of polling for the lock. Readers have
connections of their own, which can't write. PostgreSQL: bounds on how long anything may take, read-only transactions for readers.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Engine, event, exc, make_url

from agent.protocol import durable
from agent.protocol.errors import InputError, OrdainError, RetryError

BUSY_SECONDS = 30.0
"""How long a transaction waits for another process's, or for a connection."""
READERS = 4
"""Connections for reading, and on PostgreSQL for writing too: as many as there are threads (`registry.THREADS`)."""
_SETTINGS = "-c statement_timeout=60s -c lock_timeout=20s -c idle_in_transaction_session_timeout=60s"
"""A query that takes a minute is a fault; a client that sleeps in a transaction would hold up all others."""
_KEEPALIVE = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""A database whose machine vanished is noticed within half a minute."""
_AGAIN = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL's codes for serialization failure, deadlock, lock timeout: nothing was changed, and another try may do."""


class ConflictError(RetryError):
    """Two transactions were in each other's way; nothing was changed, and the same again may well work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Where to write and where to read; `listener` has no transactions, and `shown` is the URL: it holds no password."""

    writer: Engine
    reader: Engine
    listener: Engine
    shown: str

    @property
    def sqlite(self) -> bool:
        """Whether it is SQLite, else it is PostgreSQL."""
        return self.writer.dialect.name == "sqlite"

    def dispose(self) -> None:
        """Close all connections."""
        self.writer.dispose()
        self.reader.dispose()


def open_engines(url: str, *, create: bool = True) -> Engines:
    """Return engines for `sqlite:///<path>` or `postgresql://…`; nothing is connected yet, but SQLite's file is made, for its owner alone.

    Raises:
        InputError: another kind of URL, one with a password or without a path or database; with `create` false, no such file.
    """
    parsed = _parsed(url)
    shown = parsed.render_as_string()
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        if not path.exists() and not create:
            message = f"{path}: there is no such registry"
            raise InputError(message)
        _make_file(path)
        reader = _sqlite(parsed, size=READERS, reads=True)
        return Engines(writer=_sqlite(parsed, size=1), reader=reader, listener=reader, shown=shown)
    writer, listener = _postgresql(parsed), _postgresql(parsed, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
    reader = writer.execution_options(postgresql_readonly=True)
    return Engines(writer=writer, reader=reader, listener=listener, shown=shown.replace("+psycopg", "", 1))


def _parsed(url: str) -> URL:
    message = "a registry's URL is sqlite:///<path of a file> or postgresql://<user>@<host>/<database>"
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise InputError(message) from None  # its own text repeats the URL, and with it a password
    if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    if parsed.password:
        message = (
            f"{parsed.render_as_string()}: a password in a URL is seen by others; name a file, ?passfile=/etc/ordain/pgpass, that is 0600"
        )
        raise InputError(message)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg") and parsed.database:
        return parsed.set(drivername="postgresql+psycopg")
    message = f"{parsed.render_as_string(hide_password=True)}: {message}"
    raise InputError(message)


def _make_file(path: Path) -> None:
    """Make SQLite's file before SQLite does, which gives its log the same mode; its name survives a power loss."""
    durable.make_directory(path.parent, mode=0o700)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    durable.sync_directory(path.parent)


def _sqlite(url: URL, *, size: int, reads: bool = False) -> Engine:
    engine = sqlalchemy.create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
        poolclass=sqlalchemy.QueuePool,
    )

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        for setting in ("journal_mode=WAL", "synchronous=FULL", f"query_only={int(reads)}", "temp_store=MEMORY", "cache_size=-16000"):
            connection.execute(f"PRAGMA {setting}").close()

    def begun(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _postgresql(url: URL, **pool: Any) -> Engine:
    query: dict[str, Any] = {"application_name": "ordain", **_KEEPALIVE, "options": _SETTINGS}
    arguments = {name: value for name, value in query.items() if name not in url.query}
    sizes = {"pool_size": READERS, "max_overflow": READERS, "pool_timeout": BUSY_SECONDS, "pool_pre_ping": True}
    return sqlalchemy.create_engine(url, connect_args=arguments, **(pool or sizes))


@contextmanager
def told(shown: str) -> Iterator[None]:
    """Raise the database's errors as `RetryError`, or `ConflictError`; those that are a fault of ours stay as they are."""
    try:
        yield
    except OrdainError:
        raise
    except exc.TimeoutError as error:
        message = f"registry {shown}: all its connections are busy for {BUSY_SECONDS:.0f} s; try again"
        raise RetryError(message) from error
    except exc.DBAPIError as error:
        known = _known(error, shown)
        if known is None:
            raise
        raise known from error


def _known(error: exc.DBAPIError, shown: str) -> RetryError | None:
    code = getattr(error.orig, "sqlstate", None)
    said = " ".join(str(error.orig).split())[:400]
    if code in _AGAIN:
        return ConflictError(f"registry {shown}: {said}")
    damaged = type(error) is exc.DatabaseError  # SQLite's for what is no database, or no longer a whole one
    if damaged or error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
        return RetryError(f"registry {shown}: {said}; see to the database, then it can go on")
    return None
