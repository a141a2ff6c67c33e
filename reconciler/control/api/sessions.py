"""Routes for signing in and out, and for asking who one is.

GET    /api/v1/sign-in         where operators sign in; for anyone, so that a command knows whom to ask
POST   /api/v1/sessions        a session for an id token of that issuer; for anyone who has one
DELETE /api/v1/sessions/own    the end of the session, or of the token, that asks
GET    /api/v1/whoami          who asks, and the roles that name them
"""

from datetime import datetime

from aiohttp import web
from sqlalchemy import Connection

from reconciler.control.api import shapes
from reconciler.control.api.admission import operator_of
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import BODY_LIMIT, Query
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.routes import ANYONE, OPERATOR, Route
from reconciler.control.identity.operators import Operator, text
from reconciler.control.identity.sign_in import SESSION, Person
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit, operators

SCOPES = "openid email profile groups"
"""What is asked of the issuer: a provider that has no scope for groups passes over it."""


class _Sessions:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def where(self, request: web.Request) -> web.Response:
        """Answer where to sign in."""
        Query(request, ())
        found = self._desk.sign_in
        return answer(shapes.SignIn(issuer=found.issuer if found else "", client_id=found.client_id if found else "", scope=SCOPES))

    async def begin(self, request: web.Request) -> web.Response:
        """Make a session for whoever has an id token."""
        desk = self._desk
        asked = await desk.bodies.read(request, shapes.IdToken)
        if desk.sign_in is None:
            message = "nobody signs in here: [operators] issuer is not set; ask for a token instead"
            raise Denied("refused", message)
        person = await desk.sign_in.person(asked.id_token)
        try:
            made, secret = await desk.registry.run(_begun, person, now=desk.now())
        except Denied as denied:
            await desk.registry.run(_refused, person, str(denied), now=desk.now())
            raise
        shown = shapes.Session(token=text(made.id, secret), subject=person.subject, shown=person.shown, expires=stamped(made.expires_at))
        return answer(shown, status=201)

    async def end(self, request: web.Request) -> web.Response:
        """End the session that asks."""
        operator = operator_of(request)
        if operator.kind == "local":
            message = "the local token ends with the process"
            raise Denied("conflict", message)
        await self._desk.registry.run(_ended, operator, now=self._desk.now())
        return answer(shapes.Done(target=operator.token, state="revoked"))

    async def own(self, request: web.Request) -> web.Response:
        """Answer who asks."""
        Query(request, ())
        operator, desk = operator_of(request), self._desk
        subjects = {operator.subject, *operator.groups}
        held = [
            shapes.RoleHeld(tenant=tenant, role=role.role, fleets=list(role.fleets))
            for tenant in desk.known.tenants()
            if (controls := desk.known.controls(tenant))
            for role in controls.roles
            if subjects & set(role.subjects) and desk.permissions.counts(role)
        ]
        found = shapes.WhoAmI(
            subject=operator.subject,
            groups=list(operator.groups),
            kind=operator.kind,
            expires=stamped(operator.expires_at),
            admin=bool(subjects & set(desk.admins)),
            scope=shapes.Scope(actions=list(operator.actions), tenants=list(operator.tenants)),
            roles=held,
        )
        return answer(found)


def _begun(connection: Connection, person: Person, *, now: datetime) -> tuple[operators.OperatorToken, str]:
    known = operators.put(connection, person.subject, shown=person.shown, groups=person.groups, by=person.subject, now=now)
    if known.disabled_at is not None:
        message = f"{person.subject} was removed: {known.disabled_why}"
        raise Denied("refused", message)
    made = operators.create_token(
        connection, person.subject, kind="session", shown="sign-in", expires_at=now + SESSION, by=person.subject, now=now
    )
    audit.append(connection, audit.INSTALLATION, who=person.subject, action="sessions.begin", target=made[0].id, at=now)
    return made


def _refused(connection: Connection, person: Person, why: str, *, now: datetime) -> None:
    audit.append(connection, audit.INSTALLATION, who=person.subject, action="sessions.begin", outcome="refused", reason=why, at=now)


def _ended(connection: Connection, operator: Operator, *, now: datetime) -> None:
    operators.revoke_token(connection, operator.token, now=now)
    audit.append(connection, audit.INSTALLATION, who=operator.subject, action="sessions.end", target=operator.token, at=now)


def routes(desk: Desk) -> list[Route]:
    """Return the routes for signing in and out."""
    sessions = _Sessions(desk)
    return [
        Route(method="GET", path="/api/v1/sign-in", handler=sessions.where, who=ANYONE, gives=shapes.SignIn),
        Route(
            method="POST",
            path="/api/v1/sessions",
            handler=sessions.begin,
            who=ANYONE,
            body=BODY_LIMIT,
            takes=shapes.IdToken,
            gives=shapes.Session,
        ),
        Route(method="DELETE", path="/api/v1/sessions/own", handler=sessions.end, who=f"{OPERATOR}self.end", gives=shapes.Done),
        Route(method="GET", path="/api/v1/whoami", handler=sessions.own, who=f"{OPERATOR}self.read", gives=shapes.WhoAmI),
    ]
