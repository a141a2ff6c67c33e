"""How often one may ask: an agent, all agents of a tenant, an address that shows no certificate.

Rates are kept as one number for each asker: the instant from which its next request is on time (GCRA, ITU-T I.371, as a virtual
scheduling algorithm). Nothing is shared between copies of `serve`: each allows as much. Time is passed in, in seconds.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

from reconciler.control.known import Known, member
from reconciler.publication.controls import Agent

REMEMBERED = 100_000
"""Askers of whom something is remembered: whose rate is not used up any more are dropped first. About 200 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many requests a second in the long run, and up to `burst` at once."""

    per_second: float
    burst: int


AGENT = Rate(per_second=10, burst=600)
"""Anything else that an agent asks. 64 fleets whose files are fetched one by one at the first time are some 500 requests."""
TALK = Rate(per_second=1, burst=30)
"""Watches and reports of one agent: it has one of each a minute, and some more when there is news."""
RELAY = Rate(per_second=100, burst=2000)
"""The same of a relay: reports of all hosts of its site come through it, those of an outage at once."""
TENANT_EACH = Rate(per_second=0.1, burst=10)
"""Watches and reports of a tenant for each agent that git knows, where no quota says more: three times what they need at rest, and after
news all of them ask again and report at once, five times within seconds where waves or fleets follow one another."""
TENANT_LEAST = Rate(per_second=50, burst=500)
"""Of a tenant with few agents."""
POOL = 100
"""Agents that a pool without a maximum counts for."""
ADDRESS = Rate(per_second=10, burst=200)
"""Enrolments and renewals without a certificate from one address; a rack behind one address is installed at this rate."""
QUOTA_BURST = 5
"""Seconds of its quota that a tenant may use at once."""


class Rates:
    """Who asked when; for one event loop."""

    def __init__(self) -> None:
        """Nobody asked yet."""
        self._due: dict[Hashable, float] = {}

    def wait(self, asker: Hashable, rate: Rate, now: float) -> float:
        """Return 0.0 and count a request that is within the rate, else the seconds until one would be."""
        step = 1 / rate.per_second
        due = max(self._due.get(asker, now), now)
        early = due - now - step * (rate.burst - 1)
        if early > 1e-9:  # noqa: PLR2004 - what sums of floats are off by
            return early
        self._due[asker] = due + step
        if len(self._due) > REMEMBERED:
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop who is on time by now; where that is too few, who is so soonest."""
        self._due = {asker: due for asker, due in self._due.items() if due > now}
        if len(self._due) > REMEMBERED // 2:
            latest = sorted(self._due.items(), key=lambda item: item[1])[-(REMEMBERED // 2) :]
            self._due = dict(latest)


class Limits:
    """All rates of one process. Each method returns 0.0 where the request may go on, else the seconds after which to ask again."""

    def __init__(self, known: Known) -> None:
        """`known` says the quota of each tenant."""
        self._known = known
        self._rates = Rates()

    def agent(self, tenant: str, agent: str, *, talk: bool, now: float) -> float:
        """Count a request of an agent; `talk` is for watches and reports, which have a rate of their own, and the tenant's quota."""
        if not talk:
            return self._rates.wait(("agent", tenant, agent), AGENT, now)
        own = RELAY if self._is_relay(tenant, agent) else TALK
        return self._rates.wait(("talk", tenant, agent), own, now) or self._rates.wait(("tenant", tenant), self.quota(tenant), now)

    def _is_relay(self, tenant: str, agent: str) -> bool:
        controls = self._known.controls(tenant)
        stated = member(controls, agent) if controls else None
        return isinstance(stated, Agent) and bool(stated.relay)

    def address(self, address: str, now: float) -> float:
        """Count a request that shows no certificate."""
        return self._rates.wait(("address", address), ADDRESS, now)

    def quota(self, tenant: str) -> Rate:
        """Return at which rate all agents of a tenant may talk: by its quota `reportRate`, or by how many they are."""
        controls = self._known.controls(tenant)
        if controls is None:
            return TENANT_LEAST
        pools = sum(pool.maximum or POOL for pool in controls.pools.values()) if controls.pools else 0
        return _quota(controls.quotas.report_rate, len(controls.agents) + pools)


@lru_cache(maxsize=1024)
def _quota(stated: int, agents: int) -> Rate:
    together = TENANT_EACH.burst * agents
    if stated:
        return Rate(per_second=stated, burst=max(stated * QUOTA_BURST, together))
    return Rate(per_second=max(TENANT_LEAST.per_second, TENANT_EACH.per_second * agents), burst=max(TENANT_LEAST.burst, together))
