"""Reports that came on a stick: the same signed batches that a relay would bring, each verified as if it did.

POST /api/v1/reports/{tenant}        batches of any agents of the tenant; who brought them and why stands in the audit
"""

from aiohttp import web
from sqlalchemy import Connection

from agent.protocol.errors import MalformedError, RefusedError
from reconciler.control.api import shapes
from reconciler.control.api.admission import operator_of
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import words
from reconciler.control.api.desk import Desk
from reconciler.control.api.routes import OPERATOR, Route, label
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit

LIMIT = 4 * 1024 * 1024
"""Bytes of one request: two batches of the greatest size, or a thousand usual ones."""
NOT_NOW = frozenset({"slow-down", "unavailable"})
"""Refusals after which the same may be sent again."""


class _Carrying:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def take(self, request: web.Request) -> web.Response:
        """Keep what holds, and say what doesn't."""
        tenant, desk = label(request, "tenant"), self._desk
        asked = await desk.bodies.read(request, shapes.CarriedReports, limit=LIMIT)
        reason = words(asked.reason, "a reason")
        if desk.intake is None or desk.known.controls(tenant) is None:
            message = f"tenant {tenant} is not known here yet: its controls come from `ordain reconcile`"
            raise Denied("unknown", message)
        dropped = []
        for number, batch in enumerate(asked.batches, 1):
            try:
                await desk.intake.take_carried(tenant, batch.encode())
            except (MalformedError, RefusedError) as error:
                if isinstance(error, Denied) and error.code in NOT_NOW:
                    raise
                dropped.append(f"{number}: {error}")
        done = shapes.CarriedDone(kept=len(asked.batches) - len(dropped), dropped=dropped)
        await desk.registry.run(_noted, tenant, done, who=operator_of(request).subject, reason=reason, desk=desk)
        return answer(done)


def _noted(connection: Connection, tenant: str, done: shapes.CarriedDone, *, who: str, reason: str, desk: Desk) -> None:
    detail = {"kept": done.kept, "dropped": len(done.dropped)}
    audit.append(connection, tenant, who=who, action="reports.carry", target=tenant, reason=reason, detail=detail, at=desk.now())


def routes(desk: Desk) -> list[Route]:
    """Return the route."""
    handler, who = _Carrying(desk).take, f"{OPERATOR}reports.carry"
    path = "/api/v1/reports/{tenant}"
    return [Route(method="POST", path=path, handler=handler, who=who, body=LIMIT, takes=shapes.CarriedReports, gives=shapes.CarriedDone)]
