"""Routes about freezes: which are on, and those that people put on in an emergency. They stop going forward, never going back.

GET  /api/v1/freezes                                          those on, of git and by hand, of what may be seen
POST /api/v1/freezes/{installation, tenants/{tenant}, fleets/{tenant}/{fleet}}
POST …/{freeze}/end                                           before its time; one of git ends by a commit
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from reconciler.control.api import rollout_shapes as shapes
from reconciler.control.api.admission import operator_of, seen_by
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import BODY_LIMIT, TENANT, Query, words
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.ordering import require_controls, require_fleet
from reconciler.control.api.routes import OPERATOR, Route, label
from reconciler.control.api.shapes import Reason
from reconciler.control.authz.permissions import Seen
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit, stops
from reconciler.publication.controls import Controls

LONGEST = timedelta(days=30)
"""A freeze by hand is for an emergency, and ends by itself; a longer one is written into git, where others review it."""


class _Freezes:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with the freezes that are on and that the asker may see."""
        query, seen, desk = Query(request, TENANT), seen_by(request), self._desk
        now, wanted = desk.now(), query.one("tenant")
        by_hand = await desk.registry.ask(stops.on, now=now)
        rows = [_row(one) for one in by_hand if one.tenant == "" or _sees(seen, one.tenant, one.fleets, desk)]
        for tenant in desk.known.tenants():
            controls = desk.known.controls(tenant)
            rows += [one for one in _stated(controls, now) if _sees(seen, tenant, one.fleets, desk)] if controls else []
        return answer(shapes.FreezeList(freezes=[one for one in rows if wanted in ("", one.tenant) or not one.tenant]))

    async def put_on(self, request: web.Request) -> web.Response:
        """Put a freeze on what the path names."""
        asked = await self._desk.bodies.read(request, shapes.NewFreeze)
        if not 1 <= asked.seconds <= LONGEST.total_seconds():
            message = f"a freeze by hand is for up to {LONGEST.days} days; write a longer one into git (kind Freeze)"
            raise Denied("malformed", message)
        tenant, fleets = self._about(request)
        if tenant:
            require_controls(self._desk, tenant)
        now = self._desk.now()
        said: Mapping[str, Any] = {
            "tenant": tenant,
            "fleets": fleets,
            "reason": words(asked.reason, "a reason"),
            "who": operator_of(request).subject,
            "begins_at": now,
            "until": now + timedelta(seconds=asked.seconds),
        }
        return answer(_row(await self._desk.registry.run(_added, said)), status=201)

    async def end(self, request: web.Request) -> web.Response:
        """Take one off before its time."""
        asked = await self._desk.bodies.read(request, Reason)
        tenant, fleets = self._about(request)
        text = request.match_info["freeze"]
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - a small number
        said = {"who": operator_of(request).subject, "reason": words(asked.reason, "a reason")}
        ended = await self._desk.registry.run(_ended, number, tenant, fleets, said, now=self._desk.now())
        return answer(_row(ended))

    def _about(self, request: web.Request) -> tuple[str, list[str]]:
        """Return the tenant ("" for all) and the fleets ([] for all) that a path names."""
        if "tenant" not in request.match_info:
            return "", []
        tenant = label(request, "tenant")
        if "fleet" not in request.match_info:
            return tenant, []
        fleet = label(request, "fleet")
        require_fleet(self._desk, tenant, fleet)
        return tenant, [fleet]


def _sees(seen: Seen, tenant: str, fleets: Sequence[str], desk: Desk) -> bool:
    controls = desk.known.controls(tenant)
    return seen.covers(tenant, list(fleets) or sorted(controls.fleets if controls else ()))


def _added(connection: Connection, said: Mapping[str, Any]) -> stops.Stop:
    made = stops.add(connection, **said)
    _audited(connection, made, "freezes.start", who=made.who, reason=made.reason, at=made.begins_at)
    return made


def _ended(connection: Connection, number: int, tenant: str, fleets: list[str], said: Mapping[str, str], *, now: datetime) -> stops.Stop:
    found = stops.get(connection, number)
    if found is None or (found.tenant, list(found.fleets)) != (tenant, fleets) or not stops.end(connection, number, now=now):
        message = f"no freeze {number} is on there; `ordain freeze list` shows those that are"
        raise Denied("unknown", message)
    _audited(connection, found, "freezes.end", who=said["who"], reason=said["reason"], at=now)
    return found


def _audited(connection: Connection, one: stops.Stop, action: str, *, who: str, reason: str, at: datetime) -> None:
    target = "/".join([one.tenant, *one.fleets]) if one.tenant else ""
    detail = {"freeze": one.id, "until": stamped(one.until)}
    audit.append(connection, one.tenant, who=who, action=action, target=target, reason=reason, detail=detail, at=at)


def _row(one: stops.Stop) -> shapes.FreezeRow:
    return shapes.FreezeRow(
        number=one.id,
        manifest="",
        tenant=one.tenant,
        fleets=list(one.fleets),
        reason=one.reason,
        who=one.who,
        start=stamped(one.begins_at),
        until=stamped(one.until),
    )


def _stated(controls: Controls, now: datetime) -> Iterator[shapes.FreezeRow]:
    """Yield the freezes of git that are on."""
    for one in controls.freezes:
        start, until = (datetime.fromisoformat(str(one[name])).astimezone(UTC) for name in ("from", "until"))
        if start <= now < until:
            said = {"reason": str(one.get("reason", "")), "who": str(one.get("owner", ""))}
            yield shapes.FreezeRow(
                number=0,
                manifest=str(one["name"]),
                tenant=controls.tenant,
                fleets=[str(fleet) for fleet in one.get("fleets", ())],
                start=stamped(start),
                until=stamped(until),
                **said,
            )


def routes(desk: Desk) -> list[Route]:
    """Return the routes about freezes."""
    freezes, path = _Freezes(desk), "/api/v1/freezes"
    handlers: list[Route] = [
        Route(method="GET", path=path, handler=freezes.listed, who=f"{OPERATOR}fleets.read", gives=shapes.FreezeList, query=TENANT)
    ]
    places = {
        "installation": "rollouts.stop",
        "tenants/{tenant}": "rollouts.operate",
        "fleets/{tenant}/{fleet}": "rollouts.operate",
    }
    for place, action in places.items():
        who, where = f"{OPERATOR}{action}", f"{path}/{place}"
        taken = {"body": BODY_LIMIT, "gives": shapes.FreezeRow}
        handlers.append(Route(method="POST", path=where, handler=freezes.put_on, who=who, takes=shapes.NewFreeze, **taken))  # type: ignore[arg-type]
        handlers.append(Route(method="POST", path=f"{where}/{{freeze}}/end", handler=freezes.end, who=who, takes=Reason, **taken))  # type: ignore[arg-type]
    return handlers
