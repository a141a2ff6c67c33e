"""Routes about modes: variants of a fleet that git holds ready, switched on for a while without a new release.

GET  /api/v1/modes                                        those on, of the fleets that may be seen
POST /api/v1/modes/{tenant}/{fleet}/{mode}/{on,off}
"""

from datetime import timedelta

from aiohttp import web

from reconciler.control.api import rollout_shapes as shapes
from reconciler.control.api.admission import operator_of, seen_by
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import BODY_LIMIT, TENANT, Query, words
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.ordering import ordered, require_fleet
from reconciler.control.api.rollouts import modes_on
from reconciler.control.api.routes import OPERATOR, Route, label
from reconciler.control.api.shapes import Reason
from reconciler.control.refusal import Denied
from reconciler.control.registry import rollouts
from reconciler.control.rollout.orders import Order


class _Modes:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with the modes that are on and that the asker may see."""
        query, seen, desk = Query(request, TENANT), seen_by(request), self._desk
        names = [name for name in desk.known.tenants() if query.one("tenant") in ("", name)]
        kept = [one for name in names for one in await desk.registry.ask(rollouts.listed, name) if seen.covers(name, [one.fleet])]
        known = [(one, controls) for one in kept if (controls := desk.known.controls(one.tenant)) is not None]
        return answer(shapes.ModeList(modes=[mode for one, controls in known for mode in modes_on(one, controls, now=desk.now())]))

    async def on(self, request: web.Request) -> web.Response:
        """Switch a mode on, for the first wave's hosts first unless it is to be everywhere now."""
        asked = await self._desk.bodies.read(request, shapes.NewMode)
        tenant, fleet, mode = (label(request, part) for part in ("tenant", "fleet", "mode"))
        known = {one.name: one.at_most for one in require_fleet(self._desk, tenant, fleet).fleets[fleet].modes}
        if mode not in known:
            message = f"{tenant}/{fleet} has no mode {mode} in git; it has {', '.join(known) or 'none'}"
            raise Denied("unknown", message)
        longest = known[mode]
        if asked.seconds < 1 or (longest and asked.seconds > longest):
            message = f"mode {mode} may be on for up to {longest} s, as git says (atMost)"
            raise Denied("malformed", message)
        now = self._desk.now()
        order = Order(
            id=0,
            kind="mode",
            who=operator_of(request).subject,
            reason=words(asked.reason, "a reason"),
            at=stamped(now),
            mode=mode,
            until=stamped(now + timedelta(seconds=asked.seconds)),
            all_at_once=asked.now,
            most=longest,
        )
        return answer(await ordered(self._desk, tenant, fleet, order, action="modes.on"))

    async def off(self, request: web.Request) -> web.Response:
        """Switch a mode off for everybody, before its time."""
        asked = await self._desk.bodies.read(request, Reason)
        tenant, fleet, mode = (label(request, part) for part in ("tenant", "fleet", "mode"))
        who, reason = operator_of(request).subject, words(asked.reason, "a reason")
        order = Order(id=0, kind="base", who=who, reason=reason, at=stamped(self._desk.now()), mode=mode)
        return answer(await ordered(self._desk, tenant, fleet, order, action="modes.off"))


def routes(desk: Desk) -> list[Route]:
    """Return the routes about modes."""
    modes, path = _Modes(desk), "/api/v1/modes"
    one, who = f"{path}/{{tenant}}/{{fleet}}/{{mode}}", f"{OPERATOR}modes.switch"
    return [
        Route(method="GET", path=path, handler=modes.listed, who=f"{OPERATOR}fleets.read", gives=shapes.ModeList, query=TENANT),
        Route(method="POST", path=f"{one}/on", handler=modes.on, who=who, body=BODY_LIMIT, takes=shapes.NewMode, gives=shapes.Ordered),
        Route(method="POST", path=f"{one}/off", handler=modes.off, who=who, body=BODY_LIMIT, takes=Reason, gives=shapes.Ordered),
    ]
