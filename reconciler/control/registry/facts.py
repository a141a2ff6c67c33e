"""What agents say of themselves, for people: the newest facts and problems of each. Never believed, and never an input of a decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from reconciler.control.registry import schema
from reconciler.control.registry.upserts import insert

_table = schema.facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an agent said; None is for what it did not say this time: then what it said before stays."""

    tenant: str
    agent: str
    facts: Mapping[str, Any] | None
    problems: Sequence[str] | None
    at: datetime


def keep(connection: Connection, found: Sequence[Facts]) -> None:
    """Write facts of many agents in one statement; of several of one agent the last counts, field by field."""
    merged: dict[tuple[str, str], Facts] = {}
    for one in found:
        before = merged.get((one.tenant, one.agent))
        merged[one.tenant, one.agent] = one if before is None else _merged(before, one)
    rows = [
        {"tenant": one.tenant, "agent": one.agent, "facts": _plain(one.facts), "problems": _plain(one.problems), "at": one.at}
        for one in (merged[key] for key in sorted(merged))
    ]
    for kept in ("facts", "problems"):
        given = [row for row in rows if row[kept] is not None]
        if given:
            _write(connection, kept, given)


def of(connection: Connection, tenant: str, agent: str) -> Facts | None:
    """Return an agent's newest facts and problems; None where it never said any."""
    row = connection.execute(select(_table).where(_table.c.tenant == tenant, _table.c.agent == agent)).mappings().one_or_none()
    return Facts(**row) if row else None


def _write(connection: Connection, kept: str, rows: list[dict[str, Any]]) -> None:
    statement = insert(connection, _table)
    said = statement.excluded
    statement = statement.on_conflict_do_update(index_elements=["tenant", "agent"], set_={kept: said[kept], "at": said.at})
    connection.execute(statement, [{**row, "facts": row["facts"] or {}, "problems": row["problems"] or []} for row in rows])


def _merged(before: Facts, later: Facts) -> Facts:
    return Facts(
        tenant=later.tenant,
        agent=later.agent,
        facts=before.facts if later.facts is None else later.facts,
        problems=before.problems if later.problems is None else later.problems,
        at=later.at,
    )


def _plain(value: Mapping[str, Any] | Sequence[str] | None) -> Any:
    if value is None:
        return None
    return dict(value) if isinstance(value, Mapping) else list(value)
