"""What git knows of, as signed controls say it: agents and pools with their labels and fleets, copied so that lists can be asked for.

The copy is made by whoever takes new controls, in order of their sequence, and can be made again from them at any time. Nothing is
decided by it: whoever decides reads the controls.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, delete, exists, select

from reconciler.control.registry import schema
from reconciler.control.registry.paging import Page, limited
from reconciler.control.registry.upserts import insert
from reconciler.control.registry.wakeups import CONTROLS, notify

_SLICE = 500
"""Names in one statement: SQLite takes 32,766 parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An agent or a pool as git has it; `fleets` by their own names."""

    kind: Literal["agent", "pool"]
    labels: Mapping[str, str] = field(default_factory=dict)
    fleets: Collection[str] = ()


def replace(connection: Connection, tenant: str, subjects: Mapping[str, Subject], *, sequence: int) -> bool:
    """Make the copy of a tenant's agents and pools what `subjects` (by name) says, changing only what differs; return whether it was done.

    `sequence` is that of the controls: a copy of newer ones, or of the same, stays. Most controls bring no other agents: then nothing
    is read or written but a mark.
    """
    before, digest = _taken(connection, tenant)
    if sequence <= before:
        return False
    now = _digest(subjects)
    mark = insert(connection, schema.marks).values(name=_mark(tenant), value=f"{sequence}:{now}")
    connection.execute(mark.on_conflict_do_update(index_elements=["name"], set_={"value": f"{sequence}:{now}"}))
    if now != digest:
        _make_all(connection, tenant, subjects)
    notify(connection, CONTROLS, tenant)
    return True


def _make_all(connection: Connection, tenant: str, subjects: Mapping[str, Subject]) -> None:
    rows: dict[str, set[tuple[str, ...]]] = {
        "subjects": {(name, one.kind) for name, one in subjects.items()},
        "subject_labels": {(name, label, value) for name, one in subjects.items() for label, value in one.labels.items()},
        "subject_fleets": {(name, fleet) for name, one in subjects.items() for fleet in one.fleets},
    }
    for table in (schema.subjects, schema.subject_labels, schema.subject_fleets):
        _make(connection, table, tenant, rows[table.name])


def taken(connection: Connection, tenant: str) -> int:
    """Return the sequence of the controls that the copy was made of, 0 for none."""
    return _taken(connection, tenant)[0]


def subject(connection: Connection, tenant: str, name: str) -> Subject | None:
    """Return an agent or a pool of git's; None where git has none of that name."""
    tables = (schema.subjects, schema.subject_labels, schema.subject_fleets)
    kinds, labels, fleets = (
        connection.execute(select(*list(one.c)[2:]).where(one.c.tenant == tenant, one.c.subject == name)).all() for one in tables
    )
    if not kinds:
        return None
    return Subject(kind=kinds[0][0], labels={row[0]: row[1] for row in labels}, fleets=tuple(sorted(row[0] for row in fleets)))


def absent(connection: Connection, tenant: str, *, after: str = "", limit: int = 100) -> Page[str]:
    """Return a page of the names of agents that git knows and that never enrolled, or have left."""
    size, names = limited(limit), schema.subjects.c
    there = exists().where(
        schema.agents.c.tenant == names.tenant, schema.agents.c.agent == names.subject, schema.agents.c.state != "decommissioned"
    )
    statement = select(names.subject).where(names.tenant == tenant, names.kind == "agent", names.subject > after, ~there)
    found = connection.execute(statement.order_by(names.subject).limit(size + 1)).scalars().all()
    return Page(items=tuple(found[:size]), next=found[size - 1] if len(found) > size else "")


def _taken(connection: Connection, tenant: str) -> tuple[int, str]:
    """Return the sequence of the controls that the copy was made of, and the digest of what they said; 0 and "" for none."""
    value = connection.execute(select(schema.marks.c.value).where(schema.marks.c.name == _mark(tenant))).scalar() or "0:"
    sequence, _, digest = value.partition(":")
    return int(sequence), digest


def _digest(subjects: Mapping[str, Subject]) -> str:
    plain = {name: (one.kind, one.labels, sorted(one.fleets)) for name, one in subjects.items()}
    return sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


def _mark(tenant: str) -> str:
    return f"controls/{tenant}"


def _make(connection: Connection, table: Any, tenant: str, wanted: set[tuple[str, ...]]) -> None:
    columns = [column.name for column in table.c][1:]
    standing = {tuple(row) for row in connection.execute(select(*list(table.c)[1:]).where(table.c.tenant == tenant))}
    gone = sorted({row[0] for row in standing - wanted})
    for start in range(0, len(gone), _SLICE):
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c.subject.in_(gone[start : start + _SLICE])))
    removed = set(gone)
    added = sorted(row for row in wanted if row not in standing or row[0] in removed)
    if added:
        connection.execute(table.insert(), [dict(zip(columns, row, strict=True)) | {"tenant": tenant} for row in added])
