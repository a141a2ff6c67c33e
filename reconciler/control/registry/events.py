"""Events: what happened on hosts, and to them; kept once, however often they are told.

An event has a `key` that is the same whenever it is told: an agent's is `<incarnation>.<batch sequence>.<place in the batch>`
(`key_of`), and the server's own are given one by whoever tells them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from reconciler.control.registry import schema
from reconciler.control.registry.narrowing import by_number, conditions, forget
from reconciler.control.registry.paging import Page, limited
from reconciler.control.registry.upserts import insert, write_many

_table = schema.events
ROLLOUT = "rollout-"
"""What the kinds of events begin with that the state machine of rollouts tells."""
_SAME = ("tenant", "fleet", "agent", "kind", "digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event to keep: `agent` is "" for one that is of no agent, `fleet` its own name in the tenant or "".

    `digest` and `attempt` say which release it is about, "" and 0 for none; `at` is RFC 3339 by the clock of whoever tells it.
    """

    tenant: str
    agent: str
    key: str
    kind: str
    at: str
    received_at: datetime
    fleet: str = ""
    digest: str = ""
    attempt: int = 0
    path: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Event):
    """An event that is kept, under its number in this registry."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events of a tenant: those that fit everything given; times are of their arrival, `since` included, `until` not."""

    tenant: str
    fleet: str = ""
    agent: str = ""
    kind: str = ""
    digest: str = ""
    attempt: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def key_of(incarnation: int, sequence: int, index: int) -> str:
    """Return the key of an agent's event."""
    return f"{incarnation}.{sequence}.{index}"


def append(connection: Connection, found: Sequence[Event]) -> int:
    """Keep events of many agents in one statement; return how many were new."""
    if not found:
        return 0
    rows = [{name: getattr(one, name) for name in Event.__slots__} for one in sorted(found, key=lambda one: (one.tenant, one.agent))]
    statement = insert(connection, _table).on_conflict_do_nothing(index_elements=["tenant", "agent", "key"])
    return write_many(connection, statement, rows)


def listed(connection: Connection, wanted: Filter, *, after: str = "", limit: int = 100, newest_first: bool = True) -> Page[Kept]:
    """Return a page of events in the order of their arrival, or against it; `after` is the `next` of the page before (a number).

    Whoever follows them oldest first should come back to some before the last one seen: of two transactions at once, the one that
    took the lower numbers may be committed later.
    """
    size = limited(limit)
    statement = select(_table)
    statement = statement.where(*conditions(_table, wanted, same=_SAME))
    statement = by_number(statement, _table.c.id, after=after, limit=limit, newest_first=newest_first)
    found = [Kept(**row) for row in connection.execute(statement).mappings()]
    return Page(items=tuple(found[:size]), next=str(found[size - 1].id) if len(found) > size else "")


def of_rollouts(connection: Connection, wanted: Filter, *, limit: int) -> list[Kept]:
    """Return the last events that fit and that rollouts told, the newest first."""
    statement = select(_table).where(*conditions(_table, wanted, same=_SAME), _table.c.agent == "")
    statement = statement.where(_table.c.kind.startswith(ROLLOUT, autoescape=True)).order_by(_table.c.id.desc())
    return [Kept(**row) for row in connection.execute(statement.limit(limited(limit))).mappings()]


def prune(connection: Connection, *, tenant: str, before: datetime, limit: int) -> int:
    """Forget events of a tenant that arrived before then, at most `limit`; return how many."""
    return forget(connection, _table, tenant=tenant, before=before, limit=limit)
