"""What is known of each host of an attempt, read in a few questions about the whole fleet."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from reconciler.control.registry import schema
from reconciler.control.rollout.evidence import Host, Said

_agents, _beats, _receipts, _statuses = schema.agents, schema.heartbeats, schema.receipts, schema.statuses
GONE = ("revoked", "decommissioned")


def read_hosts(
    connection: Connection, tenant: str, fleet: str, *, digest: str, attempt: int, mode: str | None = None
) -> Mapping[str, Host]:
    """Return the enrolled hosts of a tenant that are in a fleet, by name, with what they said of a digest under an attempt.

    `mode` "" asks for base alone, a name for that mode, None for whichever was due: a host's newest receipt counts.
    """
    wanted = [_receipts.c.tenant == tenant, _receipts.c.fleet == fleet, _receipts.c.digest == digest, _receipts.c.attempt == attempt]
    said = _said(connection, [*wanted, _receipts.c.mode == mode] if mode is not None else wanted)
    unwell = _unwell(connection, tenant, fleet, digest)
    return {row.agent: _host(row, said.get(row.agent), row.agent not in unwell) for row in connection.execute(_known(tenant, fleet))}


def is_provable(connection: Connection, tenant: str, fleet: str) -> bool:
    """Return whether any host of a fleet ever enrolled: only then can anything be measured."""
    return connection.execute(_known(tenant, fleet).limit(1)).first() is not None


def _known(tenant: str, fleet: str) -> Any:
    subjects = schema.subject_fleets
    in_fleet = (_agents.c.tenant == subjects.c.tenant) & (_agents.c.subject == subjects.c.subject)
    beats = (_agents.c.tenant == _beats.c.tenant) & (_agents.c.agent == _beats.c.agent)
    joined = _agents.join(subjects, in_fleet).outerjoin(_beats, beats)
    columns = (_agents.c.agent, _agents.c.presence, _agents.c.presence_at, _agents.c.enrolled_at, _beats.c.last_seen)
    wanted = (_agents.c.tenant == tenant, subjects.c.fleet == fleet, _agents.c.state.not_in(GONE))
    return select(*columns).select_from(joined).where(*wanted)


def _host(row: Any, said: Said | None, well: bool) -> Host:  # noqa: FBT001 - private, and named where it is passed on
    connected = row.last_seen is not None and row.presence != "lost"
    return Host(name=row.agent, seen=row.last_seen, connected=connected, since=row.presence_at, said=said, well=well)


def _said(connection: Connection, wanted: Sequence[ColumnElement[bool]]) -> dict[str, Said]:
    """Return each host's newest receipt among those wanted."""
    newest = select(func.max(_receipts.c.id)).where(*wanted).group_by(_receipts.c.agent)
    rows = connection.execute(select(_receipts).where(_receipts.c.id.in_(newest)))
    return {row.agent: Said(result=row.result, at=row.received_at, why=_why(row.signed)) for row in rows}


def _unwell(connection: Connection, tenant: str, fleet: str, digest: str) -> set[str]:
    """Return the hosts that last said of this release that it stands there no longer."""
    wanted = (_statuses.c.tenant == tenant, _statuses.c.fleet == fleet, _statuses.c.desired == digest)
    bad = _statuses.c.result.in_(("failed", "refused", "restored"))
    return set(connection.execute(select(_statuses.c.agent).where(*wanted, bad)).scalars())


def _why(signed: Mapping[str, Any]) -> str:
    receipt = signed.get("receipt", {})
    return str(receipt.get("why", "")) if isinstance(receipt, Mapping) else ""
