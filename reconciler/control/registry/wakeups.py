"""Waking those who wait for a change: told within a transaction, heard once it is committed, by every process on the same registry.

PostgreSQL brings it by LISTEN and NOTIFY. On SQLite it stays within the process, and a counter that each such transaction raises
tells other processes, which look at it once a second. What is heard is a hint: it may come late, twice, or as `("", "")`, which
says that anything may have changed, so whoever listens looks into the registry for what is true.
"""

import json
import logging
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import Connection, func, literal, select

from agent.protocol.errors import OrdainError
from reconciler.control.outage import Outage
from reconciler.control.registry import schema
from reconciler.control.registry.engines import Engines, told
from reconciler.control.registry.upserts import insert

if TYPE_CHECKING:
    import psycopg

AGENTS = "agents"  # payload `<tenant>/<agent>`: enrolled, or its state changed
REVOCATIONS = "revocations"  # payload `<tenant>/<agent>`: a certificate of it, or all, are revoked
OPERATORS = "operators"  # payload: a subject whose tokens or groups changed
CONTROLS = "controls"  # payload: a tenant whose controls were taken
PUBLISHED = "published"  # payload `<tenant>/<fleet>`: its repository has news
REPORTS = "reports"  # payload `<tenant>/<fleet>`: receipts came
ORDERS = "orders"  # payload `<tenant>/<fleet>`: somebody ordered something about its rollout
POLL = 1.0
"""Seconds between looks for what other processes wrote, where nothing brings it."""
LOOK_AGAIN = 30.0
"""Seconds after which listeners look again although they heard nothing, lest something was lost on the way."""
_NOTES = "ordain.notes"
_COUNTER = "notified"
_CHANNEL = "ordain"
_STOP_WITHIN = 0.5
"""Seconds that a listener takes to notice that it shall end."""
_log = logging.getLogger(__name__)
Heard = Callable[[str, str], None]
"""Called with (channel, payload), in a thread of the registry's: return soon, raise nothing."""


def notify(connection: Connection, channel: str, payload: str = "") -> None:
    """Tell all who listen, on every process, once this transaction is committed; nobody hears of one that is not."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(_CHANNEL, json.dumps([channel, payload]))))
        return
    marks = schema.marks
    statement = insert(connection, marks).values(name=_COUNTER, value="1")
    raised = sqlalchemy.cast(sqlalchemy.cast(marks.c.value, sqlalchemy.Integer) + literal(1), sqlalchemy.Text)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": raised}))
    connection.info.setdefault(_NOTES, []).append((channel, payload))


def take_notes(connection: Connection) -> list[tuple[str, str]]:
    """Return what was told on a connection of SQLite, and forget it."""
    notes: list[tuple[str, str]] = connection.info.pop(_NOTES, [])
    return notes


class Hub:
    """What was told in this process, on SQLite, for its listeners."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: set[queue.SimpleQueue[tuple[str, str] | None]] = set()
        self.told = 0

    def tell(self, notes: list[tuple[str, str]]) -> None:
        """Pass on what a committed transaction told."""
        with self._lock:
            self.told += len(notes)
            for waiting in self._queues:
                for note in notes:
                    waiting.put(note)

    def join(self) -> queue.SimpleQueue[tuple[str, str] | None]:
        """Return where all that is told from now on arrives; None ends it."""
        waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        with self._lock:
            self._queues.add(waiting)
        return waiting

    def leave(self, waiting: queue.SimpleQueue[tuple[str, str] | None]) -> None:
        """Bring nothing more, and end it."""
        with self._lock:
            self._queues.discard(waiting)
        waiting.put(None)


class Listener:
    """A thread that hears what is told; `stop` ends it."""

    def __init__(self, engines: Engines, hub: Hub, heard: Heard, *, poll: float) -> None:
        self._engines = engines
        self._hub = hub
        self._heard = heard
        self._poll = poll
        self._stopped = threading.Event()
        self._waiting = hub.join()
        self._outage = Outage(_log, "news of the registry can't be heard")
        body = self._on_sqlite if engines.sqlite else self._on_postgresql
        self._thread = threading.Thread(target=body, name="registry-listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait until it has."""
        self._stopped.set()
        self._hub.leave(self._waiting)
        self._thread.join()

    def _on_sqlite(self) -> None:
        known = self._counted()
        self._heard("", "")
        while not self._stopped.is_set():
            try:
                note = self._waiting.get(timeout=self._poll)
            except queue.Empty:
                counted = self._counted()
                if counted != known:
                    self._heard("", "")
                known = counted
                continue
            if note is None:
                return
            self._heard(*note)

    def _counted(self) -> int:
        """Return how much other processes told: all that the registry counted, less what was told here."""
        own = self._hub.told
        statement = select(schema.marks.c.value).where(schema.marks.c.name == _COUNTER)
        try:
            with told(self._engines.shown), self._engines.reader.begin() as connection:
                counted = int(connection.execute(statement).scalar() or 0) - own
        except OrdainError as error:
            self._outage.failed(error)
            return -own - 1  # differs from the next that can be counted: then all look again
        self._outage.over()
        return counted

    def _on_postgresql(self) -> None:
        import psycopg  # noqa: PLC0415 - on SQLite, a start would take a tenth of a second more for it

        while not self._stopped.is_set():
            try:
                with told(self._engines.shown):
                    self._listen()
            except (OrdainError, psycopg.Error) as error:
                self._outage.failed(error)
                self._stopped.wait(self._poll)
                self._heard("", "")

    def _listen(self) -> None:
        """Listen until it shall stop, or the connection breaks; raises what the database raises."""
        import psycopg  # noqa: PLC0415 - as above

        with self._engines.listener.connect() as connection:
            driver = connection.connection.driver_connection
            if not isinstance(driver, psycopg.Connection):
                message = f"a connection of psycopg was expected, not {type(driver)}"
                raise TypeError(message)
            try:
                self._hear(driver)
            except psycopg.Error:
                connection.invalidate()  # or giving it back would be tried, and its failure logged as a fault
                raise

    def _hear(self, driver: "psycopg.Connection[Any]") -> None:
        driver.execute(f"LISTEN {_CHANNEL}")
        self._outage.over()
        self._heard("", "")
        quiet = 0.0
        while not self._stopped.is_set():
            for note in driver.notifies(timeout=_STOP_WITHIN):
                self._heard(*json.loads(note.payload))
            quiet += _STOP_WITHIN
            if quiet >= LOOK_AGAIN:
                driver.execute("SELECT 1")
                self._heard("", "")
                quiet = 0.0
