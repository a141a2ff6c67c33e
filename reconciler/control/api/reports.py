"""The route by which agents report.

    POST /v1/reports    a `Batch`, or a `SignedBatch` that a relay brings; answered by `Acknowledged` once it is kept for good

An agent in quarantine still reports: what it does there is what an operator wants to see. So does one that was told to leave.
"""

from aiohttp import web

from agent.protocol import codec
from reconciler.control.api.bodies import Bodies
from reconciler.control.api.routes import AGENT, Route, State, agent_of
from reconciler.control.api.written import write
from reconciler.control.intake.decoding import CARRIED_LIMIT
from reconciler.control.intake.taking import Intake
from reconciler.control.watch.waiting import Waiting


def routes(intake: Intake, waiting: Waiting) -> list[Route]:
    """Return the route; `waiting` knows whether this process stops."""
    bodies = Bodies()

    async def report(request: web.Request) -> web.StreamResponse:
        asker = agent_of(request)
        body = await bodies.read(request, limit=CARRIED_LIMIT)
        acknowledged = await intake.take((asker.tenant, asker.agent), asker.fingerprint, body)
        return await write(request, codec.canonical(acknowledged), waiting)

    even: frozenset[State] = frozenset({"quarantined", "decommissioned"})
    return [Route(method="POST", path="/v1/reports", handler=report, who=AGENT, even=even, body=CARRIED_LIMIT, talk=True)]
