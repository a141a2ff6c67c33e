"""When each agent was last heard of, by which version of it, and up to which batch its reports are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from reconciler.control.registry import schema
from reconciler.control.registry.upserts import insert

_table = schema.heartbeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One report's outside: `sequence` is its batch's number, counted from 1 within an `incarnation` of the agent."""

    tenant: str
    agent: str
    incarnation: int
    sequence: int
    version: str
    last_seen: datetime


def keep(connection: Connection, beats: Sequence[Heartbeat]) -> None:
    """Write heartbeats of many agents in one statement; an older batch than the one that is kept changes nothing.

    Several of one agent may be given: merge them before if there are many, the newest counts.
    """
    newest: dict[tuple[str, str], Heartbeat] = {}
    for beat in beats:
        known = newest.get((beat.tenant, beat.agent))
        if known is None or (beat.incarnation, beat.sequence, beat.last_seen) > (known.incarnation, known.sequence, known.last_seen):
            newest[beat.tenant, beat.agent] = beat
    rows = [{name: getattr(newest[key], name) for name in Heartbeat.__slots__} for key in sorted(newest)]
    if not rows:
        return
    statement = insert(connection, _table)
    said = statement.excluded
    names = ("incarnation", "sequence", "version", "last_seen")
    newer = or_(
        _table.c.incarnation < said.incarnation,
        and_(_table.c.incarnation == said.incarnation, _table.c.sequence <= said.sequence),
    )
    statement = statement.on_conflict_do_update(index_elements=["tenant", "agent"], set_={name: said[name] for name in names}, where=newer)
    connection.execute(statement, rows)


def touch(connection: Connection, seen: Sequence[tuple[str, str, datetime]]) -> None:
    """Write that (tenant, agent) were there at an instant without reporting anything; only of those that ever reported."""
    if seen:
        at = bindparam("at", type_=_table.c.last_seen.type)
        statement = update(_table).where(_table.c.tenant == bindparam("t"), _table.c.agent == bindparam("a"), _table.c.last_seen < at)
        rows = [{"t": tenant, "a": agent, "at": instant} for tenant, agent, instant in sorted(seen)]
        connection.execute(statement.values(last_seen=at), rows)


def get(connection: Connection, tenant: str, agent: str) -> Heartbeat | None:
    """Return the last one of an agent; None where it was never heard of."""
    row = connection.execute(select(_table).where(_table.c.tenant == tenant, _table.c.agent == agent)).mappings().one_or_none()
    return Heartbeat(**row) if row else None


def all_since(connection: Connection, since: datetime) -> list[Heartbeat]:
    """Return those of all agents that were heard of since then: what a process that starts holds in memory."""
    return [Heartbeat(**row) for row in connection.execute(select(_table).where(_table.c.last_seen >= since)).mappings()]


def versions(connection: Connection, tenant: str) -> dict[str, int]:
    """Return how many agents of a tenant run each version of ordain-agent."""
    statement = select(_table.c.version, func.count()).where(_table.c.tenant == tenant).group_by(_table.c.version)
    return {row[0]: row[1] for row in connection.execute(statement)}
