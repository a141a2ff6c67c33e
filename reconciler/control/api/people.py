"""Routes about operators: who they are, and the tokens by which they ask.

What they may do is not said here: roles in git say that. So adding one gives them nothing until a Role names them.

    GET    /api/v1/operators                   a page of them
    POST   /api/v1/operators                   one without an account at an identity provider
    POST   /api/v1/operators/remove            let one in no more, by whatever token
    GET    /api/v1/operators/tokens            a page of tokens and sessions
    POST   /api/v1/operators/tokens            a token, whose text is shown this once
    DELETE /api/v1/operators/tokens/{token}
"""

import re
from datetime import datetime, timedelta

import msgspec
from aiohttp import web
from sqlalchemy import Connection

from agent.protocol.errors import InputError
from agent.protocol.state import Struct
from reconciler.control.api import shapes
from reconciler.control.api.admission import operator_of, require_tenant
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import BODY_LIMIT, PAGES, WORDS_LIMIT, Query, meant, words
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.routes import OPERATOR, Handler, Route, label
from reconciler.control.identity.operators import text
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit, operators
from reconciler.printable import printable

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,98}[a-z0-9])?")
LONGEST = timedelta(days=366)
"""For which a token of a program may last; a person signs in."""
TOKENS = ("subject", *PAGES)
SCOPES = 64
"""Actions, or tenants, that a scope names at most."""


class _People:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with a page of operators."""
        query = Query(request, PAGES)
        page = await self._desk.registry.ask(operators.listed, after=query.one("after"), limit=query.limit())
        return answer(shapes.OperatorPage(operators=[row(one) for one in page.items], next=page.next))

    async def add(self, request: web.Request) -> web.Response:
        """Add one."""
        asked = await self._desk.bodies.read(request, shapes.NewOperator)
        if not NAME.fullmatch(asked.name) or len(asked.shown) > WORDS_LIMIT:
            message = "an operator's name is of a-z, 0-9, '.', '_', '@' and '-'; what is shown has up to 1000 characters"
            raise Denied("malformed", message)
        by, now = operator_of(request).subject, self._desk.now()
        return answer(row(await self._desk.registry.run(_added, asked, by=by, now=now)), status=201)

    async def remove(self, request: web.Request) -> web.Response:
        """Remove one."""
        asked = await self._desk.bodies.read(request, shapes.RemoveOperator)
        reason = words(asked.reason, "a reason")
        await self._desk.registry.run(_removed, asked.subject, reason, by=operator_of(request).subject, now=self._desk.now())
        return answer(shapes.Done(target=asked.subject, state="removed"))

    async def tokens(self, request: web.Request) -> web.Response:
        """Answer with a page of tokens and sessions."""
        query = Query(request, TOKENS)
        page = await self._desk.registry.ask(operators.tokens, subject=query.one("subject"), after=query.one("after"), limit=query.limit())
        return answer(shapes.OperatorTokenPage(tokens=[_token(one) for one in page.items], next=page.next))

    async def create_token(self, request: web.Request) -> web.Response:
        """Make a token."""
        asked = await self._desk.bodies.read(request, shapes.NewOperatorToken)
        if not 1 <= asked.ttl <= LONGEST.total_seconds():
            message = f"an operator's token lives for up to {LONGEST.days} days"
            raise Denied("malformed", message)
        if len(asked.scope.actions) > SCOPES or len(asked.scope.tenants) > SCOPES or len(asked.shown) > WORDS_LIMIT:
            message = f"a scope names up to {SCOPES} actions and as many tenants; what is shown has up to {WORDS_LIMIT} characters"
            raise Denied("malformed", message)
        for action in asked.scope.actions:
            self._require_action(action)
        for tenant in asked.scope.tenants:
            await require_tenant(tenant, self._desk.known, self._desk.registry)
        by, now = operator_of(request).subject, self._desk.now()
        made, secret = await self._desk.registry.run(_token_made, asked, by=by, now=now)
        shown = shapes.OperatorTokenMade(token=text(made.id, secret), id=made.id, expires=stamped(made.expires_at))
        return answer(shown, status=201)

    def _require_action(self, action: str) -> None:
        """Raise `Denied` (malformed) for what no route asks for: such a token would do nothing, and be found out when it matters."""
        from reconciler.control.api import operating  # noqa: PLC0415 - it lists the routes of this module, too

        known = {route.action for route in operating.routes(self._desk) if route.action}
        known |= {f"{one.partition('.')[0]}.*" for one in known}
        if action not in known:
            near = meant(action, known)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(known))}"
            message = f"there is no action {printable(action)}; {hint}"
            raise Denied("malformed", message)

    async def revoke_token(self, request: web.Request) -> web.Response:
        """Make a token or a session useless."""
        token = label(request, "token")
        await self._desk.registry.run(_token_revoked, token, by=operator_of(request).subject, now=self._desk.now())
        return answer(shapes.Done(target=token, state="revoked"))


def row(one: operators.Operator) -> shapes.OperatorRow:
    """Return an operator as the API shows one."""
    return shapes.OperatorRow(
        subject=one.subject,
        shown=one.shown,
        groups=list(one.groups),
        created_at=stamped(one.created_at),
        created_by=one.created_by,
        disabled_at=stamped(one.disabled_at),
        disabled_why=one.disabled_why,
    )


def _added(connection: Connection, asked: shapes.NewOperator, *, by: str, now: datetime) -> operators.Operator:
    subject = f"operator:{asked.name}"
    known = operators.get(connection, subject)
    if known is not None:
        removed = f", and was removed ({known.disabled_why}): names are not given again" if known.disabled_at else ""
        message = f"there is an operator {asked.name} already{removed}"
        raise Denied("conflict", message)
    made = operators.put(connection, subject, shown=asked.shown or asked.name, by=by, now=now)
    audit.append(connection, audit.INSTALLATION, who=by, action="operators.add", target=subject, at=now)
    return made


def _removed(connection: Connection, subject: str, reason: str, *, by: str, now: datetime) -> None:
    try:
        operators.disable(connection, subject, why=reason, now=now)
    except InputError as error:
        raise Denied("unknown", str(error)) from error
    audit.append(connection, audit.INSTALLATION, who=by, action="operators.remove", target=subject, reason=reason, at=now)


def _token_made(connection: Connection, asked: shapes.NewOperatorToken, *, by: str, now: datetime) -> tuple[operators.OperatorToken, str]:
    owner = operators.get(connection, asked.subject)
    if owner is None or owner.disabled_at is not None:
        named = f"operator:{asked.subject}"
        hint = f"did you mean {named}?" if operators.get(connection, named) else "add one with `ordain operators add`"
        message = f"there is no operator {asked.subject} who may ask; {hint}"
        raise Denied("unknown", message)
    scope = msgspec.to_builtins(asked.scope)
    made, secret = operators.create_token(
        connection, asked.subject, scope=scope, shown=asked.shown, expires_at=now + timedelta(seconds=asked.ttl), by=by, now=now
    )
    detail = {"token": made.id, "expires": stamped(made.expires_at), **scope}
    audit.append(connection, audit.INSTALLATION, who=by, action="operators.token", target=asked.subject, detail=detail, at=now)
    return made, secret


def _token_revoked(connection: Connection, token: str, *, by: str, now: datetime) -> None:
    if not operators.revoke_token(connection, token, now=now):
        message = f"there is no operator's token {token} that could be used still"
        raise Denied("unknown", message)
    audit.append(connection, audit.INSTALLATION, who=by, action="operators.revoke-token", target=token, at=now)


def _token(one: operators.OperatorToken) -> shapes.OperatorTokenRow:
    return shapes.OperatorTokenRow(
        id=one.id,
        subject=one.subject,
        kind=one.kind,
        scope=msgspec.convert(dict(one.scope), shapes.Scope),
        shown=one.shown,
        created_at=stamped(one.created_at),
        created_by=one.created_by,
        expires=stamped(one.expires_at),
        used_at=stamped(one.used_at),
        revoked_at=stamped(one.revoked_at),
    )


def routes(desk: Desk) -> list[Route]:
    """Return the routes about operators."""
    people = _People(desk)
    path, reading, writing = "/api/v1/operators", f"{OPERATOR}operators.read", f"{OPERATOR}operators.write"

    def changing(path: str, handler: Handler, takes: type[Struct], gives: type[Struct]) -> Route:
        return Route(method="POST", path=path, handler=handler, who=writing, body=BODY_LIMIT, takes=takes, gives=gives)

    return [
        Route(method="GET", path=path, handler=people.listed, who=reading, gives=shapes.OperatorPage, query=PAGES),
        changing(path, people.add, shapes.NewOperator, shapes.OperatorRow),
        changing(f"{path}/remove", people.remove, shapes.RemoveOperator, shapes.Done),
        Route(method="GET", path=f"{path}/tokens", handler=people.tokens, who=reading, gives=shapes.OperatorTokenPage, query=TOKENS),
        changing(f"{path}/tokens", people.create_token, shapes.NewOperatorToken, shapes.OperatorTokenMade),
        Route(method="DELETE", path=f"{path}/tokens/{{token}}", handler=people.revoke_token, who=writing, gives=shapes.Done),
    ]
