"""What a relay is given to answer hosts with: a server's certificate, in the names that git states for it and no others.

Hosts take whoever shows such a certificate for their server, so no relay gets a name of `serve` itself, or one that git states for another
agent. It signs nothing: what a relay hands out is verified by the hosts, as ever.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from agent.protocol.enrolment import FORMAT, RelayIssued, RenewalRequest
from reconciler.control.authority.certificates import SERVER_LIFETIME
from reconciler.control.authority.keeper import Keeper, pem
from reconciler.control.enrolment import answering
from reconciler.control.identity.agents import Asker
from reconciler.control.known import KnownTenants, member
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit
from reconciler.control.registry.registry import Registry
from reconciler.publication.controls import Agent
from reconciler.publication.store import Store
from reconciler.publication.times import stamp

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names by which every machine reaches itself: of no use to a relay, and its server's own."""


class Relays:
    """Issues what relays show; `counts` is by outcome (`issued`, or the code of a refusal), for metrics."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        known: KnownTenants,
        keeper: Keeper,
        names: Sequence[str],
        lifetime: timedelta = SERVER_LIFETIME,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`names` are those of `serve` itself, which no relay gets."""
        self.counts: Counter[str] = Counter()
        self._store, self._registry, self._known, self._keeper, self._now = store, registry, known, keeper, now
        self._own, self._lifetime = LOOPBACK | {name.lower() for name in names}, lifetime

    async def issue(self, asker: Asker, request: RenewalRequest) -> RelayIssued:
        """Return a certificate for a relay's key; raises `Denied` (refused, malformed)."""
        try:
            names = self._names(asker)
            key = answering.wanted_key(request.request, request.format)
        except Denied as denied:
            self.counts[denied.code] += 1
            raise
        made = await asyncio.to_thread(self._keeper.issue_server, key, names, lifetime=self._lifetime)
        who = f"{asker.tenant}/{asker.agent}"
        await self._registry.run(
            audit.append,
            asker.tenant,
            who=f"agent:{who}",
            action="certificates.relay",
            target=who,
            detail={"names": names, "ends": answering.ends(made.certificate)},
            at=self._now(),
        )
        self.counts["issued"] += 1
        return RelayIssued(
            format=FORMAT,
            certificate=made.chain,
            authority=self._keeper.authority(),
            intermediates="".join(pem(one.tenants[asker.tenant]) for one in self._keeper.generations if asker.tenant in one.tenants),
            root=await asyncio.to_thread(answering.newest_root, self._store, asker.tenant),
            server_time=stamp(self._now()),
        )

    def _names(self, asker: Asker) -> list[str]:
        """Return the names that git states for this relay; raise `Denied` (refused) for none, or for what is somebody else's."""
        controls = self._known.controls(asker.tenant)
        stated = member(controls, asker.agent) if controls else None
        if not isinstance(stated, Agent) or not stated.relay or not stated.relay_names:
            message = f"{asker.tenant}/{asker.agent} is no relay: its manifest states no `relay` with fleets and names"
            raise Denied("refused", message)
        taken = sorted((self._own | self._of_others(asker)) & set(stated.relay_names))
        if taken:
            message = f"{asker.tenant}/{asker.agent} can't answer as {', '.join(taken)}: that is the server's, or another relay's"
            raise Denied("refused", message)
        return stated.relay_names

    def _of_others(self, asker: Asker) -> set[str]:
        found: set[str] = set()
        for tenant in self._known.tenants():
            controls = self._known.controls(tenant)
            for name, agent in controls.agents.items() if controls else ():
                if agent.relay_names and (tenant, name) != (asker.tenant, asker.agent):
                    found.update(agent.relay_names)
        return found
