"""What receipts and events have in common: both are asked for by the same things, in pages by number, and forgotten by their arrival."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, delete, select

from reconciler.control.registry.paging import limited, number_after


class Narrow(Protocol):
    """What filters of both have; times are of their arrival, `since` included, `until` not."""

    @property
    def attempt(self) -> int | None:
        """An attempt, None for any."""

    @property
    def since(self) -> datetime | None:
        """From when on."""

    @property
    def until(self) -> datetime | None:
        """Until when."""


def conditions(table: Table, wanted: Narrow, *, same: Sequence[str]) -> list[ColumnElement[bool]]:
    """Return what rows must fit; `same` are fields of the filter that a column of that name must equal, where they are not ""."""
    stated = {name: getattr(wanted, name) for name in same}
    found: list[ColumnElement[bool]] = [table.c[name] == value for name, value in stated.items() if value]
    if wanted.attempt is not None:
        found.append(table.c.attempt == wanted.attempt)
    if wanted.since is not None:
        found.append(table.c.received_at >= wanted.since)
    if wanted.until is not None:
        found.append(table.c.received_at < wanted.until)
    return found


def by_number(statement: Select[Any], number: Column[Any], *, after: str, limit: int, newest_first: bool) -> Select[Any]:
    """Return a statement for one page in the order of `number`, and one row more, which says whether there is another page."""
    ordered = statement.order_by(number.desc() if newest_first else number).limit(limited(limit) + 1)
    if not after:
        return ordered
    start = number_after(after)
    return ordered.where(number < start if newest_first else number > start)


def forget(connection: Connection, table: Table, *, tenant: str, before: datetime, limit: int) -> int:
    """Forget rows of a tenant that arrived before then, the oldest first, at most `limit`; return how many."""
    old = select(table.c.id).where(table.c.tenant == tenant, table.c.received_at < before).order_by(table.c.received_at).limit(limit)
    return connection.execute(delete(table).where(table.c.id.in_(old))).rowcount
