"""How many hosts of a fleet are unwell, and what hosts measured of a release: each in one question about the whole fleet."""

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, case, func, or_, select

from agent.protocol.report import FleetReport, Usage
from reconciler.control.conduct.hosts import GONE
from reconciler.control.registry import schema

LOST_COUNTS = timedelta(hours=6)
"""For how long a host that fell silent counts as unwell: after that somebody switched it off."""
UNWELL = ("failed", "refused", "restored")


def count_unwell(connection: Connection, tenant: str, fleet: str, *, now: datetime) -> tuple[int, int]:
    """Return how many hosts of a fleet are unwell, of how many: those at which the newest release failed, and those that fell silent."""
    agents, subjects, statuses = schema.agents, schema.subject_fleets, schema.statuses
    in_fleet = (agents.c.tenant == subjects.c.tenant) & (agents.c.subject == subjects.c.subject)
    of_it = (statuses.c.tenant == agents.c.tenant) & (statuses.c.agent == agents.c.agent) & (statuses.c.fleet == subjects.c.fleet)
    unwell = or_(agents.c.presence == "lost", statuses.c.result.in_(UNWELL))
    here = or_(agents.c.presence.in_(("online", "flapping")), (agents.c.presence == "lost") & (agents.c.presence_at >= now - LOST_COUNTS))
    asked = select(func.count(), func.sum(case((unwell, 1), else_=0))).select_from(
        agents.join(subjects, in_fleet).outerjoin(statuses, of_it)
    )
    wanted = (agents.c.tenant == tenant, subjects.c.fleet == fleet, agents.c.state.not_in(GONE), here)
    hosts, bad = connection.execute(asked.where(*wanted)).one()
    return int(bad or 0), int(hosts)


def read_usage(connection: Connection, tenant: str, fleet: str, *, digest: str, attempt: int, hosts: Collection[str]) -> list[Usage]:
    """Return what these hosts measured of an attempt of a release."""
    statuses = schema.statuses
    wanted = (statuses.c.tenant == tenant, statuses.c.fleet == fleet, statuses.c.desired == digest, statuses.c.attempt == attempt)
    rows = connection.execute(select(statuses.c.agent, statuses.c.report).where(*wanted))
    reports = [msgspec.convert(row.report, FleetReport) for row in rows if row.agent in hosts]
    found = [one.usage for one in reports if one.usage is not None]
    return [one for one in found if (one.digest, one.attempt) == (digest, attempt)]
