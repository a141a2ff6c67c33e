"""INSERT … ON CONFLICT, which both databases spell alike and SQLAlchemy keeps in two places."""

from typing import cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: Connection, table: Table) -> sqlite.Insert:
    """Return an insert that has `on_conflict_do_update` and `on_conflict_do_nothing`, for the database of this connection."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return cast("sqlite.Insert", postgresql.insert(table))  # the same methods, by the same names and arguments
