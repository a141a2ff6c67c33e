"""The gate before every route: who asks is established, held against the route, and refused in one form; each refusal is counted."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from agent.protocol.errors import OrdainError
from reconciler.control.api.answers import as_refusal, refuse
from reconciler.control.api.pacing import Pacing
from reconciler.control.api.routes import AGENT, ANYONE, ASKER, Handler, Route, agent_of
from reconciler.control.identity.agents import Agents, Asker
from reconciler.control.identity.refusals import Refusals
from reconciler.control.refusal import Denied

_log = logging.getLogger(__name__)
MayRead = Callable[[str, str, str], bool]
"""(tenant, agent, fleet): whether that agent may read that fleet's repository."""


class Operators(Protocol):
    """Whoever knows operators, and what they may do."""

    async def admit(self, request: web.Request, action: str) -> None:
        """Establish who asks by the request's bearer token, keep it with the request, and raise `Denied` unless they may do that."""
        ...


class Gate:
    """Lets in who may ask; `refused` counts refusals by route (`GET /v1/…`) and code, for metrics."""

    def __init__(
        self,
        *,
        agents: Agents | None = None,
        operators: Operators | None = None,
        may_read: MayRead = lambda *_: False,
        pacing: Pacing | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        """Keep whom to ask; what there is nobody for is open to nobody. Without `pacing` nobody is slowed down.

        `refusals` writes down which hosts are not let in.
        """
        self.refused: Counter[tuple[str, str]] = Counter()
        self._refusals = refusals
        self._agents, self._operators, self._may_read, self._pacing = agents, operators, may_read, pacing

    def guarded(self, route: Route) -> Handler:
        """Return a route's handler behind this gate."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                await self._admit(request, route)
                if self._pacing is None or route.who != AGENT:
                    return await route.handler(request)
                return await self._counted(request, route, self._pacing)
            except OrdainError as error:
                return self._refused(route, request, error)

        return handle

    async def _counted(self, request: web.Request, route: Route, pacing: Pacing) -> web.StreamResponse:
        asker = agent_of(request)
        pacing.begin(asker)
        try:
            return await route.handler(request)
        finally:
            pacing.end(asker)

    async def _admit(self, request: web.Request, route: Route) -> None:
        if (request.content_length or 0) > route.body:
            message = f"at most {route.body} bytes are taken here"
            raise Denied("too-much", message)
        if route.who == ANYONE:
            if self._pacing is not None:
                await self._pacing.address(request.remote or "")
            return
        if route.who == AGENT and self._agents is not None:
            request[ASKER] = asker = await self._agents.identify(client_certificate(request))
            try:
                self._agents.require(asker, even=route.even)
                self._require_own(request, asker)
            except Denied as denied:
                if self._refusals is not None:
                    foreign = request.match_info.get("tenant", asker.tenant) != asker.tenant
                    await self._refusals.note(asker, denied, path=request.path, foreign=foreign, address=request.remote or "")
                raise
            if self._pacing is not None:
                await self._pacing.agent(asker, talk=route.talk)
        elif route.action and self._operators is not None:
            await self._operators.admit(request, route.action)
        else:
            message = "nobody can sign in at this address"
            raise Denied("unauthenticated", message)

    def _require_own(self, request: web.Request, asker: Asker) -> None:
        """Raise `Denied` (unknown) where the path names what is not the asker's; see `routes`."""
        parts = request.match_info
        own = parts.get("tenant", asker.tenant) == asker.tenant
        if own and "agent" in parts:
            own = "/".join(filter(None, (parts["agent"], parts.get("id")))) == asker.agent
        if own and "fleet" in parts:
            own = self._may_read(asker.tenant, asker.agent, parts["fleet"])
        if not own:
            message = "there is no such thing, or none that this agent may know of"
            raise Denied("unknown", message)

    def _refused(self, route: Route, request: web.Request, error: OrdainError) -> web.Response:
        denied = as_refusal(error, where=request.path)
        self.refused[f"{route.method} {route.path}", denied.code] += 1
        _log.info("refused: %s", denied, extra={"path": request.path, "code": denied.code, "from": request.remote})
        response = refuse(denied)
        if denied.code in {"revoked", "unauthenticated"}:
            response.force_close()  # whoever holds such a connection would keep it
        return response


def client_certificate(request: web.Request) -> bytes | None:
    """Return the certificate (DER) that the asker's connection was made with, None where it has none."""
    session = request.transport.get_extra_info("ssl_object") if request.transport else None
    found = session.getpeercert(binary_form=True) if session else None
    return found if isinstance(found, bytes) else None


@web.middleware
async def formed(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """Give aiohttp's own refusals (no such path, no such method, too large) the form of ours; empty ones stay as they are."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge as error:
        return refuse(Denied("too-much", error.reason))
    except web.HTTPMethodNotAllowed as error:
        answer = refuse(Denied("unknown", f"there is no {request.method} {request.path}"))
        answer.set_status(error.status)
        answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return answer
    except web.HTTPNotFound as error:
        if not error.text:
            raise  # asked for at each poll, for the root after the newest: a body would only cost
        return refuse(Denied("unknown", "there is no such thing"))
