"""Names of fleets and agents, and the URIs that certificates carry (SPIFFE-ID, section 2)."""

import re

from agent.protocol.errors import MalformedError

LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label (RFC 1123): what every tenant, fleet, agent, pool and component is called."""


def require_label(name: str, what: str) -> str:
    """Return `name` if it is a DNS label; raise `MalformedError` naming `what` if not."""
    if not LABEL.fullmatch(name):
        message = f"{what} {name[:80]!r} is not a DNS label (a-z, 0-9 and -, at most 63 characters)"
        raise MalformedError(message)
    return name


def require_agent(name: str) -> str:
    """Return `name` if it is an agent's name or `<pool>/<id>`; raise `MalformedError` if not."""
    pool, slash, member = name.partition("/")
    require_label(pool, "agent")
    if slash:
        require_label(member, "pool member")
    return name


def spiffe(domain: str, tenant: str, agent: str) -> str:
    """Return the SPIFFE URI of an agent (`web-01`) or a pool's agent (`runners/7f3a`)."""
    kind = "pool" if "/" in agent else "agent"
    return f"spiffe://{domain}/{tenant}/{kind}/{agent}"
