"""What this process remembers of each agent that talks to it, so that a heartbeat costs no question to the registry.

All of it can be lost: it is read again, or counted anew. Other processes may know better, so what looks odd is looked up before it is
believed.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from reconciler.control.intake.pace import day_of
from reconciler.control.refusal import Denied
from reconciler.control.registry import agents, heartbeats
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
        self._registry = registry
        self._known: OrderedDict[Agent, Account] = OrderedDict()
        self._asking: dict[Agent, asyncio.Task[Account | None]] = {}

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
        asking = self._asking.get(agent)
        if asking is None:
            asking = self._asking[agent] = asyncio.create_task(self._look_up(agent))
            asking.add_done_callback(lambda _: self._asking.pop(agent, None))
        account = await asyncio.shield(asking)
        if account is None:
            message = f"{agent[0]}/{agent[1]} is not enrolled here"
            raise Denied("unknown", message)
        return account

    async def _look_up(self, agent: Agent) -> Account | None:
        found = await self._registry.ask(_read, agent)
        known = self._known.get(agent)
        if found is None:
            self._known.pop(agent, None)
        elif known is None or known.incarnation != found.incarnation:
            known = self._known[agent] = found
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            known.sequence = max(known.sequence, found.sequence)
        return known if found is not None else None


def _read(connection: Connection, agent: Agent) -> Account | None:
    found = agents.get(connection, *agent)
    if found is None:
        return None
    beat = heartbeats.get(connection, *agent)
    kept = beat.sequence if beat is not None and beat.incarnation == found.incarnation else 0
    return Account(incarnation=found.incarnation, sequence=kept)
