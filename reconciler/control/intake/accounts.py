"""What this process remembers of each agent that talks to it, so that a heartbeat costs no question to the registry.

All of it can be lost: it is read again, or counted anew. Other processes may know better, so what looks odd is looked up before it is
believed.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from reconciler.control.intake.pace import day_of
from reconciler.control.lookups import Lookups
from reconciler.control.refusal import Denied
from reconciler.control.registry import agents
from reconciler.control.registry.registry import Registry

REMEMBERED = 50_000
"""Agents that are remembered: five times what one process serves; some hundred bytes each."""

Agent = tuple[str, str]
"""Tenant, and the agent's name or `<pool>/<id>`."""


@dataclass(slots=True, kw_only=True)
class Account:
    """One agent: how many times it enrolled, up to which batch its reports are kept, the bytes that it used today.

    `fingerprint` is of the certificate that it showed last: a new one may mean that it enrolled again, and counts from 1.
    """

    incarnation: int
    sequence: int
    fingerprint: str = ""
    day: int = 0
    used: int = 0
    asked_at: float = 0.0
    """When it was last asked for a whole report, by the monotonic clock."""

    def use(self, size: int, now: datetime) -> None:
        """Count bytes of a report."""
        if self.day != day_of(now):
            self.day, self.used = day_of(now), 0
        self.used += size

    def used_on(self, now: datetime) -> int:
        """Return the bytes that were used on the day of `now`."""
        return self.used if self.day == day_of(now) else 0


class Accounts:
    """The accounts of a process; for one event loop."""

    def __init__(self, registry: Registry) -> None:
        """Nobody is remembered."""
        self._known: OrderedDict[Agent, Account] = OrderedDict()
        self._lookups: Lookups[Agent, Account] = Lookups(registry, _read)

    def get(self, agent: Agent) -> Account | None:
        """Return what is remembered of an agent, None for nothing."""
        return self._known.get(agent)

    async def load(self, agent: Agent, fingerprint: str) -> Account:
        """Return the account of an agent that shows this certificate, from the registry where it is not remembered.

        Raises:
            Denied: the registry knows no such agent (unknown).
        """
        known = self._known.get(agent)
        if known is not None and known.fingerprint == fingerprint:
            return known
        account = await self.look_up(agent)
        account.fingerprint = fingerprint
        return account

    async def look_up(self, agent: Agent) -> Account:
        """Return an agent's account with what the registry knows now; raise `Denied` (unknown) where it knows no such agent."""
        found, known = await self._lookups.find(agent), self._known.get(agent)
        if found is None:
            self._known.pop(agent, None)
            message = f"{agent[0]}/{agent[1]} is not enrolled here"
            raise Denied("unknown", message)
        if known is not None and known.incarnation == found.incarnation:
            known.sequence = max(known.sequence, found.sequence)
            return known
        self._known[agent] = found
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def _read(connection: Connection, names: Sequence[Agent]) -> dict[Agent, Account]:
    """Return the accounts of those who are enrolled; what an earlier incarnation sent was forgotten when it enrolled again."""
    found = agents.some(connection, names)
    return {(one.tenant, one.agent): Account(incarnation=one.incarnation, sequence=one.sequence) for one in found}
