"""What is known of each host of an attempt, read in a few questions about the whole fleet, or about what is new."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from reconciler.control.registry import schema
from reconciler.control.rollout.evidence import DENYING, Host, Said

_agents, _beats, _receipts, _statuses = schema.agents, schema.heartbeats, schema.receipts, schema.statuses
GONE = ("revoked", "decommissioned")
NOTHING = 0
"""The number before that of the first receipt."""


def read_hosts(connection: Connection, tenant: str, fleet: str, *, said: Mapping[str, Said], unwell: set[str]) -> dict[str, Host]:
    """Return the enrolled hosts of a tenant that are in a fleet, by name, with what they `said` and whether they are well."""
    return {row.agent: _host(row, said.get(row.agent), row.agent not in unwell) for row in connection.execute(_known(tenant, fleet))}


def newest_receipts(
    connection: Connection, tenant: str, fleet: str, digest: str, attempt: int, *, mode: str | None = None, after: int = NOTHING
) -> tuple[dict[str, Said], int]:
    """Return each host's newest receipt of a digest under an attempt, of those with a number above `after`; and the greatest number.

    `mode` "" asks for base alone, a name for that mode, None for whichever was due. Where there is none, the number is `after`.
    """
    columns = (_receipts.c.id, _receipts.c.agent, _receipts.c.result, _receipts.c.received_at)
    wanted = [_receipts.c.tenant == tenant, _receipts.c.fleet == fleet, _receipts.c.digest == digest, _receipts.c.attempt == attempt]
    if mode is not None:
        wanted.append(_receipts.c.mode == mode)
    found, last = dict[str, Said](), after
    for number, agent, result, at in connection.execute(select(*columns).where(*wanted, _receipts.c.id > after).order_by(_receipts.c.id)):
        found[agent] = Said(result=result, at=at)
        last = number
    return found, last


def read_unwell(connection: Connection, tenant: str, fleet: str, digest: str) -> set[str]:
    """Return the hosts that last said of this release that it stands there no longer."""
    wanted = (_statuses.c.tenant == tenant, _statuses.c.fleet == fleet, _statuses.c.desired == digest)
    return set(connection.execute(select(_statuses.c.agent).where(*wanted, _statuses.c.result.in_(DENYING))).scalars())


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
