"""Types of columns that mean the same on SQLite and on PostgreSQL: instants, names, words of hosts, JSON.

Instants are whole microseconds since 1970 in UTC: exact, and in order as numbers, on both. Names are compared byte by byte (PostgreSQL's
"C" collation), so that both give pages in the same order. Words are what hosts say: PostgreSQL can't hold U+0000 in a text, and one
host's odd word must not fail a batch of many.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Name = Text().with_variant(Text(collation="C"), "postgresql")
"""A name, a digest or another word of ours: compared byte by byte."""
Number = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database counts: SQLite counts only what is called INTEGER, which holds 64 bits there."""


def microseconds(instant: datetime) -> int:
    """Return microseconds since 1970 of an instant that knows its zone."""
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the instant, in UTC, that `microseconds` wrote."""
    return _EPOCH + timedelta(microseconds=value)


class Instant(TypeDecorator[datetime]):
    """A `datetime` that knows its zone; comes back in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Write it as microseconds."""
        _ = dialect
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Read it as UTC."""
        _ = dialect
        return None if value is None else from_microseconds(value)


class Words(TypeDecorator[str]):
    """Free text of hosts and people; U+0000 becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what PostgreSQL can't hold."""
        _ = dialect
        return value.replace("\0", "\ufffd") if value is not None and "\0" in value else value


class Json(TypeDecorator[Any]):
    """Any JSON value, kept as text: never asked about in SQL, and a JSON column of PostgreSQL would refuse an escaped U+0000."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write it in one spelling."""
        _ = dialect
        return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read it."""
        _ = dialect
        return None if value is None else json.loads(value)
