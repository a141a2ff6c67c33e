"""INSERT … ON CONFLICT, which both databases spell alike and SQLAlchemy keeps in two places."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: Connection, table: Table) -> sqlite.Insert:
    """Return an insert that has `on_conflict_do_update` and `on_conflict_do_nothing`, for the database of this connection."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return cast("sqlite.Insert", postgresql.insert(table))  # the same methods, by the same names and arguments


def write_many(connection: Connection, statement: Insert, rows: Sequence[Mapping[str, Any]]) -> int:
    """Execute an insert with many rows; return how many were written or changed.

    On PostgreSQL no two rows may be of one key where the statement updates: it would have to change a row twice.
    """
    return connection.execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount
