"""Names of fleets and agents, and the URIs that certificates carry (SPIFFE-ID, section 2)."""

import re
from dataclasses import dataclass
from hashlib import sha256

from agent.protocol.errors import MalformedError

LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label (RFC 1123): what every tenant, fleet, agent, pool and component is called."""

RENEWAL = b"ordain certificate renewal 1\0"
"""What such a signature begins with, so that it is good for nothing else."""
_SPIFFE = re.compile(
    r"spiffe://(?P<domain>[a-z0-9._-]{1,255})/(?P<tenant>[^/]{1,63})/(?P<kind>agent|pool)/(?P<agent>[^/]{1,63}(?:/[^/]{1,63})?)"
)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentName:
    """Whose certificate it is: `agent` is a name, or `<pool>/<id>`."""

    domain: str
    tenant: str
    agent: str

    @property
    def uri(self) -> str:
        """The SPIFFE-ID."""
        return spiffe(self.domain, self.tenant, self.agent)


def read_spiffe(uri: str) -> AgentName:
    """Return whose SPIFFE-ID this is; raise `MalformedError` unless it is just as `spiffe` writes it."""
    found = _SPIFFE.fullmatch(uri)
    if found is None or (found["kind"] == "pool") != ("/" in found["agent"]):
        message = f"{uri[:200]!r} is not the name of an agent: spiffe://<trust domain>/<tenant>/agent/<name> or …/pool/<pool>/<id>"
        raise MalformedError(message)
    require_label(found["tenant"], "tenant")
    return AgentName(domain=found["domain"], tenant=found["tenant"], agent=require_agent(found["agent"]))


def renewal_message(request: bytes, certificate: bytes) -> bytes:
    """Return what the key of a certificate (DER) signs to have it renewed by a request (PEM) without a connection that proves it."""
    return RENEWAL + sha256(request).digest() + sha256(certificate).digest()
