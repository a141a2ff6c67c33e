"""A whole registry copied into an empty one, from SQLite to PostgreSQL as a rule: all of it in one transaction, or none.

So a copy that is stopped begins anew. The source is held meanwhile, and remembers afterwards where it went: a `serve` that still
has its URL refuses to start on it, instead of going on with what is no longer looked at.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from agent.protocol.errors import InputError, RefusedError, RetryError
from reconciler.control.registry import audit, clock, leases, migrating, schema
from reconciler.control.registry.registry import Registry

SLICE = 2000
"""Rows of one statement."""
Progress = Callable[[str], None]


def copy(source: Registry, target: Registry, progress: Progress) -> dict[str, int]:
    """Copy all rows, verify their numbers and the audit chains, and mark the source; return rows by table.

    Raises:
        InputError: both are the same registry.
        RefusedError: the source is not of this version, was copied before, or is in use; or the target holds something already.
        RetryError: the copy does not hold what the source does; nothing of it is kept.
    """
    if source.shown == target.shown:
        message = f"{source.shown}: a registry is copied into another one"
        raise InputError(message)
    target.migrate()
    with source.begin() as old:
        migrating.require_usable(old)
        _require_idle(old)
        with target.begin() as new:
            _require_empty(new, target.shown)
            found = {table.name: _copy_table(old, new, table, progress) for table in schema.metadata.sorted_tables}
            _verify(new, found, progress)
        migrating.mark_moved(old, target.shown)
    return found


def duplicate(source: Registry, target: Registry, progress: Progress) -> dict[str, int]:
    """Copy all rows as they are at one instant into an empty registry, whoever goes on with the source; return rows by table.

    Raises:
        RefusedError: the target holds something already.
        RetryError: the copy does not hold what the source does; nothing of it is kept.
    """
    target.migrate()
    with source.snapshot() as old, target.begin() as new:
        _require_empty(new, target.shown)
        found = {table.name: _copy_table(old, new, table, progress) for table in schema.metadata.sorted_tables}
        _verify(new, found, progress)
    return found


def counts(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    return {table.name: _count(connection, table) for table in schema.metadata.sorted_tables}


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _require_idle(old: Connection) -> None:
    """Raise where a `serve` leads, by a lease that it gives back when it is stopped, and that runs out seconds after it was killed."""
    table = schema.leases.c
    held = select(table.name, table.holder).where(table.expires_at > clock.now(old), table.name != leases.HOUSEKEEPING)
    found = old.execute(held).first()
    if found is not None:
        message = f"the registry is in use: {found.holder} holds the lease {found.name}; stop every ordain serve first"
        raise RefusedError(message)


def _require_empty(new: Connection, shown: str) -> None:
    filled = [name for name, rows in counts(new).items() if rows and name != schema.marks.name]
    if filled:
        message = f"{shown} holds something already ({', '.join(filled)}); name an empty database"
        raise RefusedError(message)


def _copy_table(old: Connection, new: Connection, table: Table, progress: Progress) -> int:
    if table is schema.marks:  # made by the migration, and not twice
        new.execute(table.delete())
    total, done = _count(old, table), 0
    for rows in _slices(old, table):
        new.execute(insert(table), rows)
        done += len(rows)
        progress(f"{table.name}: {done:,} of {total:,} rows")
    if new.dialect.name == "postgresql" and "id" in table.c and done and table.c.id.autoincrement is True:
        # What the database counts goes on after the greatest that was copied. The name is one of `schema`'s.
        new.execute(text(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), (SELECT max(id) FROM {table.name}))"))  # noqa: S608
    return done


def _slices(old: Connection, table: Table) -> Iterator[list[Mapping[str, Any]]]:
    statement = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=SLICE)
    for part in old.execute(statement).mappings().partitions():
        yield [dict(row) for row in part]


def _verify(new: Connection, found: Mapping[str, int], progress: Progress) -> None:
    there = counts(new)
    if there != found:
        wrong = sorted(name for name in found if found[name] != there[name])
        message = f"the copy has other numbers of rows in {', '.join(wrong)}; nothing of it was kept, try again"
        raise RetryError(message)
    for chain in audit.chains(new):
        progress(f"verifying the audit chain of {chain or 'the installation'}")
        audit.verify(new, chain)
