"""What a process holds in memory of agents and certificates that are not in good standing."""

from datetime import datetime, timedelta
from typing import Literal, cast

from sqlalchemy import Connection, exists, select

from reconciler.control.registry import schema
from reconciler.control.registry.certificates import DECOMMISSIONED

_agents = schema.agents
_certificates = schema.certificates
Held = Literal["quarantined", "decommissioned", "revoked"]

SLACK = timedelta(hours=1)
"""Certificates that ended within it are told too: clocks of machines differ."""


def revoked(connection: Connection, *, now: datetime) -> frozenset[str]:
    """Return the fingerprints of revoked certificates that have not ended by their own date.

    Those of a decommissioned agent that were good until then are left out: `held` has the agent, and it is to hear that it should leave.
    """
    leaves = exists().where(
        _certificates.c.revoked_why.startswith(DECOMMISSIONED, autoescape=True),
        _certificates.c.tenant == _agents.c.tenant,
        _certificates.c.agent == _agents.c.agent,
        _agents.c.state == "decommissioned",
    )
    conditions = (_certificates.c.revoked_at.is_not(None), _certificates.c.not_after > now - SLACK, ~leaves)
    return frozenset(connection.execute(select(_certificates.c.fingerprint).where(*conditions)).scalars())


def held(connection: Connection, *, now: datetime) -> dict[tuple[str, str], Held]:
    """Return the agents that are held, and how; of those that left only the ones who still have a certificate to show."""
    shows = exists().where(
        _certificates.c.tenant == _agents.c.tenant, _certificates.c.agent == _agents.c.agent, _certificates.c.not_after > now - SLACK
    )
    rows = connection.execute(select(_agents.c.tenant, _agents.c.agent, _agents.c.state).where(_agents.c.state != "enrolled", shows))
    return {(row[0], row[1]): cast("Held", row[2]) for row in rows}
