"""The database's clock: one for all processes on a registry."""

from datetime import UTC, datetime

from sqlalchemy import Connection, text

_POSTGRESQL = text("SELECT clock_timestamp()")


def now(connection: Connection) -> datetime:
    """Return the time by the database: its machine's where it is a server; for SQLite, which runs here, this machine's."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    found: datetime = connection.execute(_POSTGRESQL).scalar_one()
    return found.astimezone(UTC)
