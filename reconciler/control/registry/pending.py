"""Who asked to enrol and is unknown to git, so that an operator may write manifests for them: bounded, since anybody may ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from reconciler.control.registry import schema
from reconciler.control.registry.paging import Page, limited
from reconciler.control.registry.upserts import insert

PENDING_LIMIT = 1000
"""Of one tenant: more at once are an import, or an attack; those that came first are kept."""
_table = schema.pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One who asked: the name asked for, the pool or "", why it was refused, how it came (`token:<id>`, `platform:<issuer>`), where from.

    `facts` are what it said of itself, not believed; `count` how often it asked.
    """

    tenant: str
    agent: str
    pool: str
    why: str
    how: str
    address: str
    facts: Mapping[str, Any]
    first_at: datetime
    last_at: datetime
    count: int


def note(
    connection: Connection,
    tenant: str,
    agent: str,
    *,
    pool: str = "",
    why: str,
    how: str,
    address: str,
    facts: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Write that one asked; return whether it was: false where a tenant has `PENDING_LIMIT` others already."""
    there = connection.execute(select(_table.c.count).where(_table.c.tenant == tenant, _table.c.agent == agent)).scalar()
    if there is None and count(connection, tenant) >= PENDING_LIMIT:
        return False
    said = {"pool": pool, "why": why, "how": how, "address": address, "facts": dict(facts), "last_at": now}
    statement = insert(connection, _table).values(tenant=tenant, agent=agent, first_at=now, count=1, **said)
    statement = statement.on_conflict_do_update(index_elements=["tenant", "agent"], set_={**said, "count": _table.c.count + 1})
    connection.execute(statement)
    return True


def count(connection: Connection, tenant: str) -> int:
    """Return how many of a tenant are pending."""
    return connection.execute(select(func.count()).where(_table.c.tenant == tenant)).scalar_one()


def listed(connection: Connection, tenant: str, *, after: str = "", limit: int = 100) -> Page[Pending]:
    """Return a page of those who wait, by name."""
    size = limited(limit)
    statement = select(_table).where(_table.c.tenant == tenant, _table.c.agent > after).order_by(_table.c.agent).limit(size + 1)
    found = [Pending(**row) for row in connection.execute(statement).mappings()]
    return Page(items=tuple(found[:size]), next=found[size - 1].agent if len(found) > size else "")


def forget(connection: Connection, tenant: str, agent: str) -> bool:
    """Take one off the list: it enrolled, or an operator does not want it; return whether it was on it."""
    return connection.execute(delete(_table).where(_table.c.tenant == tenant, _table.c.agent == agent)).rowcount > 0


def prune(connection: Connection, *, before: datetime, limit: int) -> int:
    """Forget those who last asked before then, at most `limit`; return how many."""
    old = select(_table.c.tenant, _table.c.agent).where(_table.c.last_at < before).order_by(_table.c.last_at).limit(limit)
    rows = connection.execute(old).all()
    return sum(forget(connection, tenant, agent) for tenant, agent in rows)
