"""How each fleet stands on each agent, as the agent said last; written when it says something new, and never by an older batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, or_, select

from agent.protocol.report import FleetReport
from reconciler.control.registry import schema
from reconciler.control.registry.agents import LIVE
from reconciler.control.registry.paging import Page, limited
from reconciler.control.registry.upserts import insert, write_many

_table = schema.statuses
_KEY = ("tenant", "fleet", "agent")
_SLICE = 500
"""Agents in one question: SQLite takes 32,766 parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A fleet on an agent: `fleet` is its own name in the tenant; batch `sequence` of the agent's `incarnation` said so."""

    tenant: str
    agent: str
    fleet: str
    report: FleetReport
    incarnation: int
    sequence: int
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A fleet that an agent left, as that batch said."""

    tenant: str
    agent: str
    fleet: str
    incarnation: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All fleets that an agent is in, as that batch said."""

    tenant: str
    agent: str
    fleets: tuple[str, ...]
    incarnation: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many agents of a fleet stand alike; `digest` is what runs there."""

    digest: str
    result: str
    attempt: int
    agents: int
    drifted: int
    held: int


def keep(connection: Connection, found: Sequence[Status]) -> int:
    """Write statuses of many agents in one statement; return how many were news. What says the same as before is not written."""
    newest = {(one.tenant, one.fleet, one.agent): one for one in sorted(found, key=lambda one: (one.incarnation, one.sequence))}
    if not newest:
        return 0
    statement = insert(connection, _table)
    said = statement.excluded
    changed = {column.name: said[column.name] for column in _table.c if column.name not in _KEY}
    statement = statement.on_conflict_do_update(
        index_elements=list(_KEY), set_=changed, where=and_(_older(said.incarnation, said.sequence), _table.c.report != said.report)
    )
    return write_many(connection, statement, [_row(newest[key]) for key in sorted(newest)])


def remove(connection: Connection, gone: Sequence[Gone]) -> None:
    """Remove fleets that agents left, in one statement, unless a newer batch says otherwise."""
    if gone:
        place = [_table.c[name] == bindparam(f"of_{name}") for name in _KEY]
        statement = delete(_table).where(*place, _older(bindparam("of_incarnation"), bindparam("of_sequence")))
        connection.execute(statement, [{f"of_{name}": getattr(one, name) for name in Gone.__slots__} for one in gone])


def keep_only(connection: Connection, wholes: Sequence[Whole]) -> None:
    """Remove what whole reports do not name, unless a newer batch said it."""
    named: dict[str, dict[str, Whole]] = {}
    for one in sorted(wholes, key=lambda one: (one.tenant, one.agent, one.incarnation, one.sequence)):
        named.setdefault(one.tenant, {})[one.agent] = one
    gone = []
    for tenant, by_agent in named.items():
        for agent, fleet in _standing(connection, tenant, list(by_agent)):
            whole = by_agent[agent]
            if fleet not in whole.fleets:
                said = {"incarnation": whole.incarnation, "sequence": whole.sequence}
                gone.append(Gone(tenant=tenant, agent=agent, fleet=fleet, **said))
    remove(connection, gone)


def _standing(connection: Connection, tenant: str, agents: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (agent, fleet) of all that is kept of these agents."""
    for start in range(0, len(agents), _SLICE):
        there = (_table.c.tenant == tenant, _table.c.agent.in_(agents[start : start + _SLICE]))
        for row in connection.execute(select(_table.c.agent, _table.c.fleet).where(*there)):
            yield row[0], row[1]


def of_agent(connection: Connection, tenant: str, agent: str) -> list[Status]:
    """Return an agent's fleets, by name."""
    statement = select(_table).where(_table.c.tenant == tenant, _table.c.agent == agent).order_by(_table.c.fleet)
    return [_status(row) for row in connection.execute(statement)]


def of_agents(connection: Connection, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[Status]]:
    """Return the fleets of some agents, given as (tenant, agent), by name; nothing of agents that never said how they stand."""
    found: dict[tuple[str, str], list[Status]] = {}
    by_tenant: dict[str, list[str]] = {}
    for tenant, agent in names:
        by_tenant.setdefault(tenant, []).append(agent)
    for tenant, agents in by_tenant.items():
        for start in range(0, len(agents), _SLICE):
            there = (_table.c.tenant == tenant, _table.c.agent.in_(agents[start : start + _SLICE]))
            for row in connection.execute(select(_table).where(*there).order_by(_table.c.fleet)):
                found.setdefault((tenant, row.agent), []).append(_status(row))
    return found


def of_fleet(connection: Connection, tenant: str, fleet: str, *, result: str = "", after: str = "", limit: int = 100) -> Page[Status]:
    """Return a page of a fleet's agents by name, those of one result where it is given."""
    size = limited(limit)
    statement = select(_table).where(_table.c.tenant == tenant, _table.c.fleet == fleet, _table.c.agent > after)
    if result:
        statement = statement.where(_table.c.result == result)
    found = [_status(row) for row in connection.execute(statement.order_by(_table.c.agent).limit(size + 1))]
    return Page(items=tuple(found[:size]), next=found[size - 1].agent if len(found) > size else "")


def counts(connection: Connection, tenant: str, fleet: str) -> list[Count]:
    """Return how a fleet's agents stand, counted; of those that were revoked or decommissioned only what they said last is left."""
    agents = schema.agents
    there = _table.join(agents, (agents.c.tenant == _table.c.tenant) & (agents.c.agent == _table.c.agent))
    by = (_table.c.digest, _table.c.result, _table.c.attempt)
    drifted, held = func.count().filter(_table.c.drift > 0), func.count().filter(_table.c.held)
    statement = (
        select(*by, func.count(), drifted, held)
        .select_from(there)
        .where(_table.c.tenant == tenant, _table.c.fleet == fleet, agents.c.state.in_(LIVE))
        .group_by(*by)
        .order_by(*by)
    )
    return [
        Count(digest=row[0], result=row[1], attempt=row[2], agents=row[3], drifted=row[4], held=row[5])
        for row in connection.execute(statement)
    ]


def _older(incarnation: Any, sequence: Any) -> ColumnElement[bool]:
    same = and_(_table.c.incarnation == incarnation, _table.c.sequence < sequence)
    return or_(_table.c.incarnation < incarnation, same)


def _row(one: Status) -> dict[str, Any]:
    said = one.report
    plain = {name: getattr(one, name) for name in ("tenant", "agent", "fleet", "incarnation", "sequence", "changed_at")}
    columns = {name: getattr(said, name) for name in ("result", "digest", "desired", "attempt", "serial", "drift", "held")}
    return {**plain, **columns, "report": msgspec.to_builtins(said)}


def _status(row: Row[Any]) -> Status:
    values = {name: getattr(row, name) for name in Status.__slots__ if name != "report"}
    return Status(**values, report=msgspec.convert(row.report, FleetReport))
