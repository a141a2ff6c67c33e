"""What signed controls say of tenants, kept in memory: who asks ten thousand times a minute can't read files for it.

Controls are read and verified again only when their file's version changed. Looking is for a thread; asking is not, and never waits.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Protocol

from agent.protocol.errors import OrdainError
from reconciler.control.tenants import discover, read_controls
from reconciler.publication import layout
from reconciler.publication.controls import Agent, Controls, Pool, Reporting
from reconciler.publication.store import Store
from reconciler.publication.trust import read_trust

STEP = 0.05
PATIENCE = 100
"""Steps after which controls that are in the store are known: they are looked for each second, or more seldom where that takes long."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Controls, the version of their file, and the fleets of those agents that asked."""

    version: str
    controls: Controls
    fleets: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Known(Protocol):
    """Whoever knows what is signed about tenants."""

    def controls(self, tenant: str) -> Controls | None:
        """Return a tenant's controls, None where there are none that can be believed."""
        ...


def member(controls: Controls, agent: str) -> Agent | Pool | None:
    """Return what controls say of an agent, or of the pool that `<pool>/<id>` is of; None where git knows neither."""
    pool, slash, _ = agent.partition("/")
    return controls.pools.get(pool) if slash else controls.agents.get(agent)


def reporting(controls: Controls, agent: str) -> Reporting:
    """Return how an agent reports: as it says itself, or its pool, or else its tenant."""
    found = member(controls, agent)
    return found.reporting if found is not None and found.reporting is not None else controls.reporting


class KnownTenants:
    """The newest verified controls of each tenant; one for a process."""

    def __init__(self, store: Store) -> None:
        """Nothing is known before the first look."""
        self._store = store
        self._known: dict[str, _Known] = {}
        self._said: dict[str, str] = {}

    def controls(self, tenant: str) -> Controls | None:
        """Return a tenant's controls as they were when last looked at, None where there are none that can be believed."""
        known = self._known.get(tenant)
        return known.controls if known else None

    async def awaited(self, tenant: str) -> Controls | None:
        """Return a tenant's controls, waiting for those that came this very second: whoever saw that they are there asks at once."""
        if self.controls(tenant) is None and await asyncio.to_thread(self._store.version, layout.controls(tenant)) is not None:
            for _ in range(PATIENCE):
                if self.controls(tenant) is not None:
                    break
                await asyncio.sleep(STEP)
        return self.controls(tenant)

    def tenants(self) -> list[str]:
        """Return all tenants with controls, sorted."""
        return sorted(self._known)

    def fleets(self, tenant: str, agent: str) -> tuple[str, ...]:
        """Return the fleets of an agent, sorted; none where git does not know it."""
        known = self._known.get(tenant)
        found = member(known.controls, agent) if known else None
        if known is None or found is None:
            return ()
        fleets = known.fleets.get(agent)
        if fleets is None:
            fleets = known.fleets[agent] = tuple(sorted(set(found.fleets)))
        return fleets

    def may_read(self, tenant: str, agent: str, fleet: str) -> bool:
        """Return whether an agent may read a fleet's repository: it is in it, or carries it for others as a relay."""
        controls = self.controls(tenant)
        found = member(controls, agent) if controls else None
        return found is not None and (fleet in found.fleets or (isinstance(found, Agent) and fleet in found.relay))

    def carried(self, tenant: str, agent: str) -> tuple[str, ...]:
        """Return the fleets that an agent carries for others as a relay, sorted; none where git says of none."""
        controls = self.controls(tenant)
        found = member(controls, agent) if controls else None
        return tuple(sorted(set(found.relay))) if isinstance(found, Agent) else ()

    def look(self) -> frozenset[str]:
        """Read again what changed, in a thread; return the tenants whose controls are others now.

        Controls that can't be read or believed leave those from before standing: who was known stays known.
        """
        before, after = self._known, dict(self._known)
        names = discover(self._store)
        for name in names:
            try:
                self._read(name, after)
                self._said.pop(name, None)
            except OrdainError as error:
                self._say(name, str(error))
        for gone in before.keys() - set(names):
            del after[gone]
        self._known = after
        return frozenset(name for name in before.keys() | after.keys() if before.get(name) is not after.get(name))

    def _read(self, tenant: str, into: dict[str, _Known]) -> None:
        version = self._store.version(layout.controls(tenant))
        known = into.get(tenant)
        if version is None or (known is not None and known.version == version):
            return
        trust = read_trust(self._store, tenant)
        controls = read_controls(self._store, trust) if trust else None
        if controls is not None and (known is None or controls.sequence >= known.controls.sequence):
            into[tenant] = _Known(version=version, controls=controls)

    def _say(self, tenant: str, why: str) -> None:
        if self._said.get(tenant) != why:
            self._said[tenant] = why
            _log.warning("its controls can't be believed, those from before count: %s", why, extra={"tenant": tenant})
