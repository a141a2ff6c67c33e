"""Receipts: what agents say that became of a release, signed by each one's key; kept once, however often they are sent.

What makes two of them one is what they say. The signature is another each time that an agent signs, as it does after each start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from agent.protocol import codec
from agent.protocol.report import SignedReceipt
from reconciler.control.registry import schema
from reconciler.control.registry.narrowing import by_number, conditions, forget
from reconciler.control.registry.paging import Page, limited
from reconciler.control.registry.upserts import insert, write_many

_table = schema.receipts
_SAME = ("tenant", "fleet", "agent", "digest", "result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt to keep: `fleet` is its own name in the tenant; the caller verified the signature, and that it is of this agent."""

    tenant: str
    agent: str
    fleet: str
    signed: SignedReceipt
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Receipt):
    """A receipt that is kept, under its number in this registry."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which receipts of a tenant: those that fit everything given; times are of their arrival, `since` included, `until` not."""

    tenant: str
    fleet: str = ""
    agent: str = ""
    digest: str = ""
    attempt: int | None = None
    result: str = ""
    since: datetime | None = None
    until: datetime | None = None


def append(connection: Connection, found: Sequence[Receipt]) -> int:
    """Keep receipts of many agents in one statement; return how many were new."""
    rows = sorted((_row(one) for one in found), key=lambda row: (row["tenant"], row["agent"], row["received_at"], row["at"]))
    if not rows:
        return 0
    statement = insert(connection, _table).on_conflict_do_nothing(index_elements=["tenant", "agent", "sha256"])
    return write_many(connection, statement, rows)


def listed(connection: Connection, wanted: Filter, *, after: str = "", limit: int = 100, newest_first: bool = True) -> Page[Kept]:
    """Return a page of receipts in the order of their arrival, or against it; `after` is the `next` of the page before (a number).

    Whoever follows them oldest first should come back to some before the last one seen: of two transactions at once, the one that
    took the lower numbers may be committed later.
    """
    size = limited(limit)
    statement = select(_table.c.id, _table.c.tenant, _table.c.agent, _table.c.fleet, _table.c.signed, _table.c.received_at)
    statement = statement.where(*conditions(_table, wanted, same=_SAME))
    statement = by_number(statement, _table.c.id, after=after, limit=limit, newest_first=newest_first)
    found = [Kept(**{**row, "signed": msgspec.convert(row["signed"], SignedReceipt)}) for row in connection.execute(statement).mappings()]
    return Page(items=tuple(found[:size]), next=str(found[size - 1].id) if len(found) > size else "")


def prune(connection: Connection, *, tenant: str, before: datetime, limit: int) -> int:
    """Forget receipts of a tenant that arrived before then, at most `limit`; return how many."""
    return forget(connection, _table, tenant=tenant, before=before, limit=limit)


def _row(one: Receipt) -> dict[str, Any]:
    said = one.signed.receipt
    columns = {name: getattr(said, name) for name in ("digest", "attempt", "serial", "result", "at")}
    plain = {name: getattr(one, name) for name in Receipt.__slots__ if name != "signed"}
    sha256, signed = codec.sha256(codec.canonical(said)), msgspec.to_builtins(one.signed)
    return {**plain, **columns, "group_name": said.group, "mode": said.mode or "", "sha256": sha256, "signed": signed}
