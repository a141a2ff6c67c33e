"""What is known of each host of an attempt, read in a few questions about the whole fleet, or about what is new."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from reconciler.control.conduct.due import ModeOf
from reconciler.control.registry import schema
from reconciler.control.rollout.evidence import DENYING, Host, Said

_agents, _beats, _receipts, _statuses = schema.agents, schema.heartbeats, schema.receipts, schema.statuses
GONE = ("revoked", "decommissioned")
NOTHING = 0
"""The number before that of the first receipt."""
FEW = 5000
"""Hosts that are asked for by name: the first waves of a large fleet are small."""
_SLICE = 500
"""Names in one statement: SQLite takes 32,766 parameters."""


def read_hosts(
    connection: Connection, tenant: str, fleet: str, *, said: Mapping[str, Said], unwell: set[str], names: Sequence[str] | None = None
) -> dict[str, Host]:
    """Return the enrolled hosts of a tenant that are in a fleet, by name, with what they `said` and whether they are well.

    Where few are named, only those are read.
    """
    found = dict[str, Host]()
    for name, presence, since, seen in _rows(connection, _known(tenant, fleet), names):
        connected = seen is not None and presence != "lost"
        found[name] = Host(name=name, seen=seen, connected=connected, since=since, said=said.get(name), well=name not in unwell)
    return found


def newest_receipts(
    connection: Connection, tenant: str, fleet: str, digest: str, attempt: int, *, due: ModeOf | None = None, after: int = NOTHING
) -> tuple[dict[str, Said], int]:
    """Return each host's newest receipt of a digest under an attempt, of those with a number above `after`; and the greatest number.

    One in the mode that is `due` goes before a newer one in another, None: whichever is newest. Where there is none, the number is `after`.
    """
    columns = (_receipts.c.id, _receipts.c.agent, _receipts.c.result, _receipts.c.received_at, _receipts.c.mode)
    wanted = [_receipts.c.tenant == tenant, _receipts.c.fleet == fleet, _receipts.c.digest == digest, _receipts.c.attempt == attempt]
    found, last = dict[str, Said](), after
    rows = connection.execute(select(*columns).where(*wanted, _receipts.c.id > after).order_by(_receipts.c.id))
    for number, agent, result, at, mode in rows:
        found[agent] = newer(found.get(agent), Said(result=result, at=at, due=due is None or mode == due(agent)))
        last = number
    return found, last


def newer(before: Said | None, said: Said) -> Said:
    """Return which of two receipts counts, of which `said` is the newer one: the other where that alone is in the mode that is due."""
    return before if before is not None and before.due and not said.due else said


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
    columns = (_agents.c.agent, _agents.c.presence, _agents.c.presence_at, _beats.c.last_seen)
    wanted = (_agents.c.tenant == tenant, subjects.c.fleet == fleet, _agents.c.state.not_in(GONE))
    return select(*columns).select_from(joined).where(*wanted)


def _rows(connection: Connection, found: Any, names: Sequence[str] | None) -> Iterator[Any]:
    if names is None or len(names) > FEW:
        yield from connection.execute(found)
        return
    for start in range(0, len(names), _SLICE):
        yield from connection.execute(found.where(_agents.c.agent.in_(names[start : start + _SLICE])))
