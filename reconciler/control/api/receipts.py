"""Routes about receipts: what one host said, signed by its key, that became of releases.

GET /api/v1/agents/{tenant}/{agent}/receipts      a page, the newest first; of a pool …/{agent}/members/{id}/receipts
"""

from aiohttp import web

from reconciler.control.api import shapes
from reconciler.control.api.admission import agent_name, seen_by
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import PAGES, Query
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.routes import OPERATOR, Route, label
from reconciler.control.registry import receipts

FILTERS = ("fleet", "digest", *PAGES)
PATHS = ("/api/v1/agents/{tenant}/{agent}/receipts", "/api/v1/agents/{tenant}/{agent}/members/{id}/receipts")


class _Receipts:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with a page of a host's receipts, of the fleets that the asker may see."""
        query, seen, tenant = Query(request, FILTERS), seen_by(request), label(request, "tenant")
        wanted = receipts.Filter(tenant=tenant, agent=agent_name(request), fleet=query.one("fleet"), digest=query.one("digest"))
        page = await self._desk.registry.ask(receipts.listed, wanted, after=query.one("after"), limit=query.limit())
        rows = [_row(one) for one in page.items if seen.covers(tenant, [one.fleet])]
        return answer(shapes.ReceiptPage(receipts=rows, next=page.next))


def _row(one: receipts.Kept) -> shapes.ReceiptRow:
    said = one.signed.receipt
    plain = {name: getattr(said, name) for name in ("result", "why", "digest", "members", "group", "attempt", "serial", "generation", "at")}
    return shapes.ReceiptRow(
        fleet=one.fleet,
        mode=said.mode or "",
        received_at=stamped(one.received_at),
        certificate=one.signed.certificate,
        signature=one.signed.signature,
        **plain,
    )


def routes(desk: Desk) -> list[Route]:
    """Return the routes about receipts."""
    handler, who = _Receipts(desk).listed, f"{OPERATOR}agents.read"
    return [Route(method="GET", path=path, handler=handler, who=who, gives=shapes.ReceiptPage, query=FILTERS) for path in PATHS]
