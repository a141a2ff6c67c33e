"""Routes about what was done and how things stand: the audit's chains, and fleets.

GET /api/v1/audit/installation, /api/v1/audit/tenants/{tenant}                    a page of a chain, the newest first
GET /api/v1/audit/installation/verify, /api/v1/audit/tenants/{tenant}/verify      whether a chain holds
GET /api/v1/fleets                                                                how the fleets that may be seen stand
"""

import asyncio

from aiohttp import web
from sqlalchemy import Connection

from agent.protocol.errors import RefusedError
from reconciler.control import records
from reconciler.control.api import shapes
from reconciler.control.api.admission import seen_by
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import PAGES, TENANT, Query
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.routes import OPERATOR, Route, label
from reconciler.control.registry import audit, statuses


class _Trail:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with a page of a chain."""
        query = Query(request, PAGES)
        page = await self._desk.registry.ask(audit.listed, _chain(request), after=query.one("after"), limit=query.limit())
        return answer(shapes.AuditPage(entries=[_entry(one) for one in page.items], next=page.next))

    async def verified(self, request: web.Request) -> web.Response:
        """Answer whether a chain holds."""
        return answer(await self._desk.registry.ask(_verified, _chain(request)))

    async def fleets(self, request: web.Request) -> web.Response:
        """Answer with how the fleets stand that the asker may see, by tenant and name."""
        query, seen, known = Query(request, TENANT), seen_by(request), self._desk.known
        wanted = query.one("tenant")
        names = [
            (tenant, fleet)
            for tenant in known.tenants()
            if wanted in ("", tenant) and (controls := known.controls(tenant))
            for fleet in sorted(controls.fleets)
            if seen.covers(tenant, [fleet])
        ]
        found = [await self._fleet(tenant, fleet) for tenant, fleet in names]
        return answer(shapes.FleetList(fleets=found))

    async def _fleet(self, tenant: str, fleet: str) -> shapes.FleetStatus:
        recorded = await asyncio.to_thread(records.read_status, self._desk.store, tenant, fleet)
        counted = await self._desk.registry.ask(_counted, tenant, fleet)
        return shapes.FleetStatus(
            tenant=tenant,
            fleet=fleet,
            state=recorded.state if recorded else "waiting",
            why=recorded.why if recorded else "nothing is recorded about it yet",
            digest=recorded.digest if recorded else "",
            commit=recorded.commit if recorded else "",
            serial=recorded.serial if recorded else 0,
            published_at=recorded.published_at if recorded else "",
            agents=counted,
        )


def _chain(request: web.Request) -> str:
    return label(request, "tenant") if "tenant" in request.match_info else audit.INSTALLATION


def _counted(connection: Connection, tenant: str, fleet: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in statuses.counts(connection, tenant, fleet):
        found[one.result] = found.get(one.result, 0) + one.agents
    return found


def _verified(connection: Connection, chain: str) -> shapes.AuditVerified:
    newest = audit.listed(connection, chain, limit=1).items
    last = newest[0].hash if newest else ""
    try:
        return shapes.AuditVerified(chain=chain, entries=audit.verify(connection, chain), holds=True, last=last)
    except RefusedError as error:
        return shapes.AuditVerified(chain=chain, entries=0, holds=False, why=str(error), last=last)


def _entry(one: audit.Entry) -> shapes.AuditRow:
    plain = {name: getattr(one, name) for name in shapes.AuditRow.__struct_fields__ if name not in ("at", "detail")}
    return shapes.AuditRow(**plain, at=stamped(one.at), detail=dict(one.detail))


def routes(desk: Desk) -> list[Route]:
    """Return the routes about what was done and how things stand."""
    trail = _Trail(desk)
    installation, tenant = f"{OPERATOR}installation.read", f"{OPERATOR}audit.read"
    chains = {"/api/v1/audit/installation": installation, "/api/v1/audit/tenants/{tenant}": tenant}
    reading = f"{OPERATOR}fleets.read"
    found = [Route(method="GET", path="/api/v1/fleets", handler=trail.fleets, who=reading, gives=shapes.FleetList, query=TENANT)]
    for path, who in chains.items():
        found.append(Route(method="GET", path=path, handler=trail.listed, who=who, gives=shapes.AuditPage, query=PAGES))
        found.append(Route(method="GET", path=f"{path}/verify", handler=trail.verified, who=who, gives=shapes.AuditVerified))
    return found
