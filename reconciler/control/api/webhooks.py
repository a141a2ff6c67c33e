"""Routes about webhooks: which forges are heard at `/v1/hooks/…`, beside those that the settings name.

GET    /api/v1/hooks                   all of them, without secrets
POST   /api/v1/hooks                   one for a forge; its secret is shown this once
POST   /api/v1/hooks/{hook}/rotate     another secret, shown this once; the one before counts for a day
DELETE /api/v1/hooks/{hook}
"""

from datetime import datetime, timedelta

from aiohttp import web
from sqlalchemy import Connection

from reconciler.control.api import shapes
from reconciler.control.api.admission import operator_of
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import BODY_LIMIT, words
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.routes import OPERATOR, Route, label
from reconciler.control.hooks import CHECKS
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit, hooks

FORMER = timedelta(days=1)
"""For which a secret still counts after it was rotated: the forge is told in the meantime."""


class _Webhooks:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with all webhooks that operators made."""
        del request
        found = await self._desk.registry.ask(hooks.listed)
        return answer(shapes.HookList(hooks=[_row(one) for one in found]))

    async def add(self, request: web.Request) -> web.Response:
        """Make one."""
        asked = await self._desk.bodies.read(request, shapes.NewHook)
        reason = words(asked.reason, "a reason")
        if asked.forge not in CHECKS:
            message = f"there is no forge {asked.forge[:80]!r}; there are {', '.join(sorted(CHECKS))}"
            raise Denied("malformed", message)
        made = await self._desk.registry.run(_added, asked.forge, reason, by=operator_of(request).subject, now=self._desk.now())
        return answer(_shown(made), status=201)

    async def rotate(self, request: web.Request) -> web.Response:
        """Give one another secret."""
        asked = await self._desk.bodies.read(request, shapes.Reason)
        reason, hook = words(asked.reason, "a reason"), label(request, "hook")
        return answer(_shown(await self._desk.registry.run(_rotated, hook, reason, by=operator_of(request).subject, now=self._desk.now())))

    async def remove(self, request: web.Request) -> web.Response:
        """Hear one no more."""
        hook = label(request, "hook")
        await self._desk.registry.run(_removed, hook, by=operator_of(request).subject, now=self._desk.now())
        return answer(shapes.Done(target=hook, state="removed"))


def _added(connection: Connection, forge: str, reason: str, *, by: str, now: datetime) -> hooks.Hook:
    if len(hooks.listed(connection)) >= hooks.MOST:
        message = f"there are {hooks.MOST} webhooks already, which is all that may be; remove one first"
        raise Denied("conflict", message)
    made = hooks.create(connection, forge, by=by, at=stamped(now))
    _audited(connection, made, "hooks.add", reason, by=by, now=now)
    return made


def _rotated(connection: Connection, hook: str, reason: str, *, by: str, now: datetime) -> hooks.Hook:
    changed = hooks.rotate(connection, _found(connection, hook), at=stamped(now), former_until=(now + FORMER).timestamp())
    _audited(connection, changed, "hooks.rotate", reason, by=by, now=now)
    return changed


def _removed(connection: Connection, hook: str, *, by: str, now: datetime) -> None:
    found = _found(connection, hook)
    hooks.remove(connection, hook)
    _audited(connection, found, "hooks.remove", "", by=by, now=now)


def _found(connection: Connection, hook: str) -> hooks.Hook:
    found = hooks.get(connection, hook)
    if found is None:
        message = f"there is no webhook {hook}; `ordain hooks list` shows those that are"
        raise Denied("unknown", message)
    return found


def _audited(connection: Connection, hook: hooks.Hook, action: str, reason: str, *, by: str, now: datetime) -> None:
    target = f"{hook.forge}/{hook.id}"
    audit.append(connection, audit.INSTALLATION, who=by, action=action, target=target, reason=reason, at=now)


def _row(one: hooks.Hook) -> shapes.HookRow:
    return shapes.HookRow(id=one.id, forge=one.forge, created_at=one.created_at, created_by=one.created_by, rotated_at=one.rotated_at)


def _shown(one: hooks.Hook) -> shapes.HookMade:
    return shapes.HookMade(id=one.id, forge=one.forge, path=f"/v1/hooks/{one.forge}", secret=one.secret)


def routes(desk: Desk) -> list[Route]:
    """Return the routes about webhooks."""
    handlers, path = _Webhooks(desk), "/api/v1/hooks"
    reading, writing = f"{OPERATOR}hooks.read", f"{OPERATOR}hooks.write"
    one = f"{path}/{{hook}}"
    return [
        Route(method="GET", path=path, handler=handlers.listed, who=reading, gives=shapes.HookList),
        Route(method="POST", path=path, handler=handlers.add, who=writing, body=BODY_LIMIT, takes=shapes.NewHook, gives=shapes.HookMade),
        Route(
            method="POST",
            path=f"{one}/rotate",
            handler=handlers.rotate,
            who=writing,
            body=BODY_LIMIT,
            takes=shapes.Reason,
            gives=shapes.HookMade,
        ),
        Route(method="DELETE", path=one, handler=handlers.remove, who=writing, gives=shapes.Done),
    ]
