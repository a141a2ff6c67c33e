"""Standing: which certificates are revoked and which agents are held, kept in memory so that every request can be checked for nothing.

What is known is replaced whole (`replace`), by whoever reads the registry: at least once a second, and at once in the process where an
operator revoked something. A certificate that ended by its own date is left out: no connection of it is answered anyway.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Hold = Literal["quarantined", "decommissioned", "revoked"]
Agent = tuple[str, str]
"""Tenant, and agent as `web-01` or `runners/7f3a`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """Everything that is not in good standing: fingerprints of certificates (SHA-256, hexadecimal), and agents by what holds them."""

    certificates: frozenset[str] = frozenset()
    agents: Mapping[Agent, Hold] = field(default_factory=dict)


class Standing:
    """The newest `Standings` that this process knows; reading takes no lock, because they are never changed, only replaced."""

    def __init__(self) -> None:
        """All are in good standing until somebody says otherwise."""
        self._now = Standings()
        self._heard: tuple[Callable[[], None], ...] = ()

    def tell(self, heard: Callable[[], None]) -> None:
        """Have `heard` called after each change, in whichever thread made it: for requests that are held, and must be looked at again."""
        self._heard += (heard,)

    def replace(self, standings: Standings) -> None:
        """Take what was read from the registry."""
        if standings != self._now:
            self._take(standings)

    def hold(self, agent: Agent, hold: Hold) -> None:
        """Count an agent as held from this instant on, before the registry is read again."""
        self._take(Standings(certificates=self._now.certificates, agents={**self._now.agents, agent: hold}))

    def release(self, agent: Agent) -> None:
        """Count an agent as one in good standing from this instant on: it enrolled again, or an operator let it go."""
        if agent in self._now.agents:
            others = {one: hold for one, hold in self._now.agents.items() if one != agent}
            self._take(Standings(certificates=self._now.certificates, agents=others))

    def revoke(self, fingerprint: str) -> None:
        """Count a certificate as revoked from this instant on."""
        self._take(Standings(certificates=self._now.certificates | {fingerprint}, agents=self._now.agents))

    def _take(self, standings: Standings) -> None:
        self._now = standings
        for heard in self._heard:
            heard()

    def is_revoked(self, fingerprint: str) -> bool:
        """Return whether a certificate is revoked."""
        return fingerprint in self._now.certificates

    def held(self, agent: Agent) -> Hold | None:
        """Return what holds an agent, None for nothing."""
        return self._now.agents.get(agent)
