"""The route on which agents wait for news.

    POST /v1/watch    a `WatchRequest`; held for up to a minute, answered by a `WatchAnswer`

One that may not wait any more is answered at once: a revoked one is refused, a decommissioned one told to leave.
"""

from aiohttp import web

from agent.protocol.watching import Leave
from reconciler.control.api.bodies import Bodies
from reconciler.control.api.routes import AGENT, Route, State, agent_of
from reconciler.control.api.written import tell
from reconciler.control.identity.agents import Agents, Asker
from reconciler.control.identity.standing import Standing
from reconciler.control.registry import agents as rows
from reconciler.control.registry.registry import Registry
from reconciler.control.watch.answers import REQUEST_LIMIT, Answers, decode

LEAVING: State = "decommissioned"


class _Watch:
    """The handler."""

    def __init__(self, answers: Answers, agents: Agents, standing: Standing, registry: Registry) -> None:
        self._answers, self._agents, self._standing, self._registry = answers, agents, standing, registry
        self._bodies = Bodies()

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Answer once there is news."""
        asker = agent_of(request)
        agent = (asker.tenant, asker.agent)
        wanted = decode(await self._bodies.read(request, limit=REQUEST_LIMIT))
        body = b""
        if self._may_wait(asker):
            body = await self._answers.answer(agent, asker.fingerprint, wanted, may_wait=lambda: self._may_wait(asker))
            self._agents.require(asker, even=(LEAVING,))
        if self._standing.held(agent) == LEAVING:
            body = self._answers.leave(agent, await self._leave(agent))
        return await tell(request, body, self._answers.waiting)

    def _may_wait(self, asker: Asker) -> bool:
        return not self._standing.is_revoked(asker.fingerprint) and self._standing.held((asker.tenant, asker.agent)) is None

    async def _leave(self, agent: tuple[str, str]) -> Leave:
        found = await self._registry.ask(rows.get, *agent)
        removes = found is not None and found.leave == "remove"
        return Leave(what="remove" if removes else "keep", reason=found.reason if found is not None else "")


def routes(answers: Answers, agents: Agents, standing: Standing, registry: Registry) -> list[Route]:
    """Return the route; `agents` and `standing` say who may still be answered after a wait."""
    handler = _Watch(answers, agents, standing, registry).watch
    even: frozenset[State] = frozenset({LEAVING})
    return [Route(method="POST", path="/v1/watch", handler=handler, who=AGENT, even=even, body=REQUEST_LIMIT, talk=True)]
