"""What a relay knows of its tenant: whom the copies that it verified list. It asks nobody, so it knows as much while its uplink is away."""

from collections.abc import Mapping

from reconciler.control.known import member
from reconciler.publication.controls import Agent, Controls, Pool
from reconciler.relay.members import Listed


class Carried:
    """The fleets that are served; replaced whole by whoever copies, and asked by every request."""

    def __init__(self, tenant: str) -> None:
        """Nothing is carried yet."""
        self.tenant = tenant
        self._listed: dict[str, Listed] = {}
        self._controls = Controls(tenant=tenant)

    def version(self, fleet: str) -> int:
        """Return the version of a fleet's copy, 0 where there is none."""
        found = self._listed.get(fleet)
        return found.version if found else 0

    @property
    def versions(self) -> Mapping[str, int]:
        """Fleet → version of its copy."""
        return {fleet: one.version for fleet, one in self._listed.items()}

    def put(self, fleet: str, listed: Listed) -> None:
        """Serve a fleet to those that its copy lists."""
        self._listed[fleet] = listed
        self._controls = _controls(self.tenant, self._listed)

    def keep_only(self, fleets: frozenset[str]) -> None:
        """Serve no others than these any more."""
        if self._listed.keys() - fleets:
            self._listed = {fleet: one for fleet, one in self._listed.items() if fleet in fleets}
            self._controls = _controls(self.tenant, self._listed)

    def controls(self, tenant: str) -> Controls | None:
        """Return what is known of a tenant, in the form in which `serve` knows it."""
        return self._controls if tenant == self.tenant else None

    def fleets(self, tenant: str, agent: str) -> tuple[str, ...]:
        """Return the fleets of an agent, sorted; none where no copy lists it."""
        controls = self.controls(tenant)
        found = member(controls, agent) if controls else None
        return tuple(found.fleets) if found else ()

    def carried(self, tenant: str, agent: str) -> tuple[str, ...]:
        """Return nothing: no relay stands behind a relay."""
        del tenant, agent
        return ()

    def may_read(self, tenant: str, agent: str, fleet: str) -> bool:
        """Return whether a fleet's copy lists an agent."""
        return fleet in self.fleets(tenant, agent)


def _controls(tenant: str, listed: Mapping[str, Listed]) -> Controls:
    agents: dict[str, Agent] = {}
    pools: dict[str, Pool] = {}
    for fleet in sorted(listed):
        for name in listed[fleet].agents:
            agents.setdefault(name, Agent(fleets=[])).fleets.append(fleet)
        for name in listed[fleet].pools:
            pools.setdefault(name, Pool(fleets=[])).fleets.append(fleet)
    return Controls(tenant=tenant, agents=agents, pools=pools)
