"""The route by which agents report.

    POST /v1/reports    a `Batch`, or a `SignedBatch` that a relay brings; answered by `Acknowledged` once it is kept for good

An agent in quarantine still reports: what it does there is what an operator wants to see. So does one that was told to leave.
"""

from aiohttp import web

from reconciler.control.api.answers import answer
from reconciler.control.api.bodies import Bodies
from reconciler.control.api.routes import AGENT, Route, State, agent_of
from reconciler.control.intake.decoding import CARRIED_LIMIT
from reconciler.control.intake.taking import Intake


def routes(intake: Intake) -> list[Route]:
    """Return the route."""
    bodies = Bodies()

    async def report(request: web.Request) -> web.Response:
        asker = agent_of(request)
        body = await bodies.read(request, limit=CARRIED_LIMIT)
        return answer(await intake.take((asker.tenant, asker.agent), asker.fingerprint, body))

    even: frozenset[State] = frozenset({"quarantined", "decommissioned"})
    return [Route(method="POST", path="/v1/reports", handler=report, who=AGENT, even=even, body=CARRIED_LIMIT, talk=True)]
