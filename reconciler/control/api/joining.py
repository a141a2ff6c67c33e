"""Routes about enrolment tokens.

POST   /api/v1/tokens/{tenant}        a token for one agent or one pool; its text is shown this once
GET    /api/v1/tokens/{tenant}        a page of them
DELETE /api/v1/tokens/{tenant}/{token}
"""

from datetime import datetime, timedelta

from aiohttp import web
from sqlalchemy import Connection

from agent.protocol.enrolment import Token, TokenBody, write_token
from agent.protocol.identity import LABEL
from reconciler.control.api import shapes
from reconciler.control.api.admission import operator_of
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import BODY_LIMIT, PAGES, Query
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.ordering import require_controls
from reconciler.control.api.routes import OPERATOR, Route, label
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit, tokens
from reconciler.printable import printable

LONGEST = timedelta(days=30)
"""A token waits for a host that is being installed, not for years in an image."""
USES = 10_000
"""As many hosts as one tenant's pool grows by at once."""


class _Joining:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, request: web.Request) -> web.Response:
        """Make a token."""
        asked = await self._desk.bodies.read(request, shapes.NewToken)
        tenant, desk = label(request, "tenant"), self._desk
        controls = require_controls(desk, tenant)
        _require_possible(asked)
        now = desk.now()
        made, secret = await desk.registry.run(_made, tenant, asked, by=operator_of(request).subject, now=now)
        body = TokenBody(id=made.id, tenant=tenant, authority=list(desk.fingerprints()))
        known = asked.agent in controls.agents if asked.agent else asked.pool in controls.pools
        text = write_token(Token(body=body, secret=secret))
        return answer(shapes.TokenMade(token=text, id=made.id, expires=stamped(made.expires_at), known_to_git=known), status=201)

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with a page of a tenant's tokens."""
        query = Query(request, PAGES)
        page = await self._desk.registry.ask(tokens.listed, label(request, "tenant"), after=query.one("after"), limit=query.limit())
        return answer(shapes.TokenPage(tokens=[_row(one) for one in page.items], next=page.next))

    async def revoke(self, request: web.Request) -> web.Response:
        """Make a token useless."""
        tenant, token, desk = label(request, "tenant"), label(request, "token"), self._desk
        await desk.registry.run(_revoked, tenant, token, by=operator_of(request).subject, now=desk.now())
        return answer(shapes.Done(target=f"{tenant}/{token}", state="revoked"))


def _require_possible(asked: shapes.NewToken) -> None:
    name = asked.agent or asked.pool
    if bool(asked.agent) == bool(asked.pool):
        message = "a token is for one agent or for one pool: give the name of one of them"
        raise Denied("malformed", message)
    if not LABEL.fullmatch(name):
        message = f"{printable(name)!r} can't be a name: those have lower-case letters, digits and inner hyphens, at most 63 of them"
        raise Denied("malformed", message)
    if not 1 <= asked.ttl <= LONGEST.total_seconds():
        message = f"a token lives for at least a second and up to {LONGEST.days} days"
        raise Denied("malformed", message)
    if not 1 <= asked.uses <= USES:
        message = f"a token may be used from once to {USES} times"
        raise Denied("malformed", message)


def _made(connection: Connection, tenant: str, asked: shapes.NewToken, *, by: str, now: datetime) -> tuple[tokens.EnrolmentToken, str]:
    made, secret = tokens.create(
        connection,
        tenant,
        agent=asked.agent,
        pool=asked.pool,
        uses=asked.uses,
        expires_at=now + timedelta(seconds=asked.ttl),
        by=by,
        now=now,
        reimage=asked.reimage,
    )
    target = f"{tenant}/{asked.agent or asked.pool}"
    detail = {"token": made.id, "uses": made.uses, "expires": stamped(made.expires_at), "reimage": str(made.reimage).lower()}
    audit.append(connection, tenant, who=by, action="tokens.create", target=target, detail=detail, at=now)
    return made, secret


def _revoked(connection: Connection, tenant: str, token: str, *, by: str, now: datetime) -> None:
    if not tokens.revoke(connection, tenant, token, now=now):
        message = f"tenant {tenant} has no token {token} that could be used still"
        raise Denied("unknown", message)
    audit.append(connection, tenant, who=by, action="tokens.revoke", target=f"{tenant}/{token}", at=now)


def _row(one: tokens.EnrolmentToken) -> shapes.TokenRow:
    plain = {name: getattr(one, name) for name in ("id", "tenant", "agent", "pool", "uses", "uses_left", "reimage", "created_by")}
    return shapes.TokenRow(
        **plain,
        created_at=stamped(one.created_at),
        expires=stamped(one.expires_at),
        used_at=stamped(one.used_at),
        revoked_at=stamped(one.revoked_at),
    )


def routes(desk: Desk) -> list[Route]:
    """Return the routes about enrolment tokens."""
    joining = _Joining(desk)
    path = "/api/v1/tokens/{tenant}"
    return [
        Route(
            method="POST",
            path=path,
            handler=joining.create,
            who=f"{OPERATOR}tokens.create",
            body=BODY_LIMIT,
            takes=shapes.NewToken,
            gives=shapes.TokenMade,
        ),
        Route(method="GET", path=path, handler=joining.listed, who=f"{OPERATOR}tokens.read", gives=shapes.TokenPage, query=PAGES),
        Route(method="DELETE", path=f"{path}/{{token}}", handler=joining.revoke, who=f"{OPERATOR}tokens.revoke", gives=shapes.Done),
    ]
