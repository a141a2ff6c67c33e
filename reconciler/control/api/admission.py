"""Letting operators in: who asks, whether the policy allows it, and a row of audit for each refusal.

What a route is about is read from its path: `{tenant}`, `{fleet}`, and `{agent}` with or without `{id}`. A reading route without a tenant
is about all that the asker may see (`seen`), or of that about the tenant that its query names; any other without one is about the
installation. Anybody may send what is refused, so refusals of the same kind are written once a minute, with how many there were.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

from aiohttp import web

from agent.protocol.errors import OrdainError
from agent.protocol.identity import LABEL
from reconciler.control.api.asked import meant
from reconciler.control.api.routes import label
from reconciler.control.authz.asking import Decision
from reconciler.control.authz.permissions import Permissions, Seen
from reconciler.control.identity.operators import Bearers, Operator, RejectedError
from reconciler.control.identity.refusals import Repeated
from reconciler.control.known import KnownTenants
from reconciler.control.limits import Rate, Rates
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit, rollouts
from reconciler.control.registry.registry import Registry
from reconciler.printable import printable

REFUSED = Rate(per_second=1, burst=60)
"""Requests of one address whose token is refused; further ones wait, whatever they bring."""
AGAIN = 60.0
"""Seconds between two rows of audit about the same refusal."""
INSTALLATION_ONLY = frozenset({"installation.read", "operators.read", "self.read"})
"""Reading actions that are about the installation, and not about all tenants that may be seen."""
OF_NO_FLEET = frozenset({"pending.read"})
"""Listing actions about what is in no fleet yet: they take a role that is for all of a tenant."""

OPERATOR = web.RequestKey("operator", Operator)
SEEN = web.RequestKey("seen", Seen)

_log = logging.getLogger(__name__)


class Admission:
    """What the gate asks about operators; `refused` counts by action and reason (`unauthenticated`, `denied`, `failed`), for metrics."""

    def __init__(
        self,
        *,
        bearers: Bearers,
        permissions: Permissions,
        known: KnownTenants,
        registry: Registry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wire it; `clock` is in seconds."""
        self.refused: Counter[tuple[str, str]] = Counter()
        self._bearers, self._permissions, self._known, self._registry, self._clock = bearers, permissions, known, registry, clock
        self._rates = Rates()
        self._repeated = Repeated(AGAIN, clock)

    async def admit(self, request: web.Request, action: str) -> None:
        """Let a request pass and keep with it who asks, or raise `Denied`; see `gate.Operators`."""
        operator = await self._identify(request, action)
        request[OPERATOR] = operator
        tenant = label(request, "tenant") if "tenant" in request.match_info else ""
        if tenant:
            await self._known.awaited(tenant)
        if not tenant and action.endswith(".read") and action not in INSTALLATION_ONLY:
            request[SEEN], decision = await self._permissions.seen(operator, action)
            allowed = request[SEEN].everywhere or bool(request[SEEN].tenants)
            wanted = request.query.get("tenant", "")
            if wanted and not request[SEEN].everywhere:
                tenant, decision = wanted, await self._listed(operator, action, wanted)
                allowed = decision.allow
                request[SEEN] = Seen(tenants={tenant: decision})
        else:
            asked_by = await self._asked_by(request, action, tenant)
            decision = await self._permissions.decide(operator, action, tenant, fleets=self._fleets(request, tenant), asked_by=asked_by)
            allowed = decision.allow
            request[SEEN] = Seen(tenants={tenant: decision})
        if not allowed:
            await self._refuse(request, operator, action, tenant, decision)
        if tenant or request[SEEN].everywhere:
            await require_tenant(tenant or request.query.get("tenant", ""), self._known, self._registry)

    async def _listed(self, operator: Operator, action: str, tenant: str) -> Decision:
        """Return what may be seen of the one tenant that a list is asked of; raise `Denied` (unknown) for what can't be one."""
        if not LABEL.fullmatch(tenant):
            message = "there is no such tenant"
            raise Denied("unknown", message)
        await self._known.awaited(tenant)
        return await self._permissions.decide(operator, action, tenant, fleets=() if action in OF_NO_FLEET else None)

    async def _identify(self, request: web.Request, action: str) -> Operator:
        address = request.remote or ""
        try:
            return await self._bearers.identify(request.headers.get("Authorization"))
        except RejectedError as error:
            self.refused[action, "unauthenticated"] += 1
            wait = self._rates.wait(address, REFUSED, self._clock())
            if wait:
                message = "too many requests with tokens that are refused; wait"
                raise Denied("slow-down", message, retry_after=int(wait) + 1) from error
            if error.token:
                await self._write(f"token:{error.token}", action, "", str(error), address)
            raise

    async def _refuse(self, request: web.Request, operator: Operator, action: str, tenant: str, decision: Decision) -> NoReturn:
        self.refused[action, "failed" if decision.failed else "denied"] += 1
        if decision.failed:
            message = "what is allowed can't be decided now, so nothing is; see the log of ordain serve"
            raise Denied("unavailable", message, retry_after=5)
        await self._write(operator.subject, action, tenant, decision.why, request.remote or "", target=target(request) or tenant)
        raise Denied("refused", decision.why)

    def _fleets(self, request: web.Request, tenant: str) -> tuple[str, ...] | None:
        if "fleet" in request.match_info:
            return (label(request, "fleet"),)
        return self._known.fleets(tenant, agent_name(request)) if "agent" in request.match_info else None

    async def _asked_by(self, request: web.Request, action: str, tenant: str) -> str:
        """Return who asked for what is to be approved: they can't approve it. Where nothing is on its way, nobody minds."""
        if action != "rollouts.approve":
            return ""
        return await self._registry.ask(rollouts.asked_by, tenant, label(request, "fleet")) or "nobody"

    async def _write(self, who: str, action: str, tenant: str, why: str, address: str, *, target: str = "") -> None:
        """Write a refusal into the audit, unless the same one was written within the last minute."""
        more = self._repeated.such_before((who, action, tenant))
        if more is None:
            return
        chain = tenant if self._known.controls(tenant) is not None else audit.INSTALLATION
        detail = {"address": address} | ({"such_before": more} if more else {})
        try:
            await self._registry.run(
                audit.append,
                chain,
                who=who,
                action=action,
                target=target,
                outcome="refused",
                reason=why,
                detail=detail,
                at=datetime.now(UTC),
            )
        except OrdainError as error:
            _log.error("a refusal could not be written into the audit: %s", error, extra={"who": printable(who), "action": action})


async def require_tenant(tenant: str, known: KnownTenants, registry: Registry) -> None:
    """Raise `Denied` (unknown) for a tenant that git never had: a name typed wrong must not look like one of which there is nothing.

    Only for whoever may ask this of all tenants: it may tell the name of another one.
    """
    if not tenant or known.controls(tenant) is not None or tenant in await registry.ask(audit.chains):
        return
    near = meant(tenant, known.tenants())
    hint = f"did you mean {near}?" if near else "its manifest comes first, and `ordain reconcile` tells of it"
    message = f"there is no tenant {printable(tenant)} here; {hint}"
    raise Denied("unknown", message)


def operator_of(request: web.Request) -> Operator:
    """Return which operator asks; only for handlers of routes that are for operators."""
    return request[OPERATOR]


def seen_by(request: web.Request) -> Seen:
    """Return what whoever asks may see; only for handlers of routes that are for operators."""
    return request[SEEN]


def agent_name(request: web.Request) -> str:
    """Return the agent that a path names, `web-01` or `runners/7f3a`."""
    parts = ("agent", "id") if "id" in request.match_info else ("agent",)
    return "/".join(label(request, part) for part in parts)


def target(request: web.Request) -> str:
    """Return what a path names, as audit and messages have it: `shop/web-01`, `shop`, or "" for the installation."""
    tenant = label(request, "tenant") if "tenant" in request.match_info else ""
    if "fleet" in request.match_info:
        return f"{tenant}/{label(request, 'fleet')}"
    return f"{tenant}/{agent_name(request)}" if "agent" in request.match_info else tenant
