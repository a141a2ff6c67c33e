"""Migrations: the tables of this version, made from those of any version before, while the version before goes on serving.

A release expands first (new tables, new columns with a default), and the next one contracts (takes away what nothing uses since).
Each migration says the oldest version of the tables whose code still works after it (`OLDEST`), and the registry remembers that
(mark `oldest`): code that is older refuses to start, and any other works although the registry is ahead of it. All that is to be
done is done in one transaction under a lock, so that of two processes that start at once one does it, and a crash leaves nothing half.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, text

from agent.protocol.errors import RefusedError
from reconciler.control.registry import schema
from reconciler.control.registry.upserts import insert

HEAD = "0001"
"""The version of the tables that this code is written for; a test holds it to the last migration."""
EMPTY = "0000"
SCRIPTS = Path(__file__).parent / "migrations"
_OLDEST = "oldest"
_MOVED = "moved"
VERSION_TABLE = "registry_version"
_log = logging.getLogger(__name__)
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)  # what it says of itself is nothing to an operator
_LOCK = 0x6F726461696E  # "ordain", as PostgreSQL's advisory locks are numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions of the tables: before, now, of this code, and the oldest code that works with them as they are now."""

    before: str
    now: str
    code: str
    oldest: str

    @property
    def current(self) -> bool:
        """Whether nothing is to be done."""
        return self.now >= self.code


def versions(connection: Connection) -> Versions:
    """Return where a registry stands; changes nothing."""
    now = _version(connection)
    oldest = EMPTY if now == EMPTY else _mark(connection, _OLDEST)
    return Versions(before=now, now=now, code=HEAD, oldest=oldest or EMPTY)


def require_usable(connection: Connection) -> Versions:
    """Return where a registry stands.

    Raises:
        RefusedError: it is behind this code, or so far ahead of it that this code can't work with it, or it was moved elsewhere.
    """
    found = versions(connection)
    _require_not_too_new(found)
    _require_here(connection, found)
    if not found.current:
        message = f"the registry's tables are of version {found.now}, and this ordain needs {HEAD}: run `ordain registry upgrade`"
        raise RefusedError(message)
    return found


def migrate(connection: Connection) -> Versions:
    """Bring the tables to `HEAD` within the transaction of `connection`; waits for another process that is at it.

    Raises:
        RefusedError: a newer ordain has taken away what this code needs, or the registry was moved elsewhere.
    """
    if connection.dialect.name == "postgresql":  # SQLite's write transaction is a lock by itself
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    found = versions(connection)
    _require_not_too_new(found)
    _require_here(connection, found)
    return found if found.current else _upgrade(connection, found)


def _upgrade(connection: Connection, found: Versions) -> Versions:
    from alembic.operations import Operations  # noqa: PLC0415 - a start that finds all done, as nearly every one does, need not wait for it
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    scripts = ScriptDirectory(str(SCRIPTS))
    ahead = [step for step in reversed(list(scripts.walk_revisions())) if step.revision > found.now]
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    with Operations.context(context):
        for step in ahead:
            _log.info("upgrading the registry's tables to version %s", step.revision)
            step.module.upgrade()
    context.stamp(scripts, HEAD)
    oldest = max([found.oldest, *(step.module.OLDEST for step in ahead)])
    _set_mark(connection, _OLDEST, oldest)
    return Versions(before=found.now, now=HEAD, code=HEAD, oldest=oldest)


def mark_moved(connection: Connection, where: str) -> None:
    """Have nobody use this registry from here on: it goes on elsewhere."""
    _set_mark(connection, _MOVED, where)


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table(VERSION_TABLE):
        return EMPTY
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() or EMPTY  # noqa: S608 - a constant


def _mark(connection: Connection, name: str) -> str | None:
    return connection.execute(select(schema.marks.c.value).where(schema.marks.c.name == name)).scalar()


def _set_mark(connection: Connection, name: str, value: str) -> None:
    statement = insert(connection, schema.marks).values(name=name, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def _require_here(connection: Connection, found: Versions) -> None:
    where = None if found.now == EMPTY else _mark(connection, _MOVED)
    if where is not None:
        message = f"this registry was moved to {where}: set [registry] url to that, or restore a backup to go back"
        raise RefusedError(message)


def _require_not_too_new(found: Versions) -> None:
    if found.oldest > found.code:
        message = (
            f"the registry's tables are of version {found.now}, which no longer works with code older than {found.oldest}; "
            f"this ordain has {found.code}: install the version of ordain that upgraded it, or restore a backup from before"
        )
        raise RefusedError(message)
