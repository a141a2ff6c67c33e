"""The routes of a relay: those of `serve` that hosts need, by the same paths, so that a host does not know one from the other.

    POST /v1/watch, POST /v1/reports, GET /v1/repositories/…, /v1/artifacts/…, /v1/agents/…/fleets    from its own copies
    GET /v1/authority, POST /v1/enrol, POST /v1/certificates/lapsed                                   asked of the uplink, while it is there
    POST /v1/certificates                                                                             refused: TLS ends here

A host that is refused a renewal over its connection asks by its old key instead, which the uplink can verify whoever stands between.
"""

from http import HTTPStatus

from aiohttp import web

from agent.protocol import codec
from agent.protocol.enrolment import ANSWER_LIMIT, REQUEST_LIMIT
from agent.protocol.errors import RetryError
from reconciler.control.api import files
from reconciler.control.api.answers import RETRY_AFTER, answer
from reconciler.control.api.bodies import Bodies
from reconciler.control.api.routes import AGENT, ANYONE, Route, agent_of
from reconciler.control.api.written import tell
from reconciler.control.intake.decoding import CARRIED_LIMIT
from reconciler.control.refusal import Denied
from reconciler.control.watch.answers import REQUEST_LIMIT as WATCH_LIMIT
from reconciler.control.watch.answers import Answers, decode
from reconciler.publication.store import Store
from reconciler.relay.known import Carried
from reconciler.relay.taking import Taking
from reconciler.relay.uplink import Uplink


class _Hosts:
    """Handlers of what a relay answers itself."""

    def __init__(self, answers: Answers, taking: Taking, carried: Carried) -> None:
        self._answers, self._taking, self._carried = answers, taking, carried
        self._bodies = Bodies()

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Answer once there is news; one that no copy lists is not held."""
        asker = agent_of(request)
        wanted = decode(await self._bodies.read(request, limit=WATCH_LIMIT))
        self._require_listed(asker.tenant, asker.agent)
        body = await self._answers.answer((asker.tenant, asker.agent), asker.fingerprint, wanted, may_wait=lambda: True)
        return await tell(request, body, self._answers.waiting)

    async def report(self, request: web.Request) -> web.Response:
        """Keep a report for the uplink."""
        asker = agent_of(request)
        body = await self._bodies.read(request, limit=CARRIED_LIMIT)
        return answer(await self._taking.take((asker.tenant, asker.agent), body))

    async def fleets(self, request: web.Request) -> web.Response:
        """Answer with the fleets of a host, as far as they are carried here."""
        asker = agent_of(request)
        self._require_listed(asker.tenant, asker.agent)
        return files.changing(
            request, codec.canonical({"fleets": list(self._carried.fleets(asker.tenant, asker.agent))}), "application/json"
        )

    async def renew(self, _: web.Request) -> web.Response:
        """Send a host to the other way to renew."""
        message = "a relay can't renew over this connection: ask /v1/certificates/lapsed, by the key of the old certificate"
        raise Denied("unauthenticated", message)

    def _require_listed(self, tenant: str, agent: str) -> None:
        if not self._carried.versions:
            message = "nothing is copied yet; ask again"
            raise Denied("unavailable", message, retry_after=RETRY_AFTER)
        if not self._carried.fleets(tenant, agent):
            message = f"no fleet that this relay carries lists {tenant}/{agent}"
            raise Denied("unknown", message)


class _Passed:
    """Handlers of what only the uplink can answer."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self._bodies = Bodies()

    async def on(self, request: web.Request) -> web.Response:
        """Pass a request on, and the answer back, whatever it is."""
        body = await self._bodies.read(request, limit=REQUEST_LIMIT) if request.method == "POST" else b""
        try:
            found = await self._uplink.ask(request.method, request.path, body, limit=ANSWER_LIMIT)
        except RetryError as error:
            message = "the server behind this relay can't be reached now; ask again"
            raise Denied("unavailable", message, retry_after=RETRY_AFTER) from error
        after = {"Retry-After": found.headers["Retry-After"]} if "Retry-After" in found.headers else {}
        headers = {"Cache-Control": "no-store", **after}
        return web.Response(body=found.body, status=HTTPStatus(found.status), content_type="application/json", headers=headers)


def routes(store: Store, *, answers: Answers, taking: Taking, carried: Carried, uplink: Uplink) -> list[Route]:
    """Return the routes."""
    hosts, passed = _Hosts(answers, taking, carried), _Passed(uplink)
    own = "/v1/agents/"
    return [
        *(route for route in files.routes(store, who=AGENT) if not route.path.startswith(own)),
        Route(method="GET", path="/v1/agents/{tenant}/{agent}/fleets", handler=hosts.fleets, who=AGENT),
        Route(method="GET", path="/v1/agents/{tenant}/{agent}/{id}/fleets", handler=hosts.fleets, who=AGENT),
        Route(method="POST", path="/v1/watch", handler=hosts.watch, who=AGENT, body=WATCH_LIMIT, talk=True),
        Route(method="POST", path="/v1/reports", handler=hosts.report, who=AGENT, body=CARRIED_LIMIT, talk=True),
        Route(method="POST", path="/v1/certificates", handler=hosts.renew, who=AGENT, body=REQUEST_LIMIT),
        Route(method="GET", path="/v1/authority", handler=passed.on, who=ANYONE),
        Route(method="POST", path="/v1/enrol", handler=passed.on, who=ANYONE, body=REQUEST_LIMIT),
        Route(method="POST", path="/v1/certificates/lapsed", handler=passed.on, who=ANYONE, body=REQUEST_LIMIT),
    ]
