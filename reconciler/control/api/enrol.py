"""The routes by which hosts join and stay.

GET  /v1/authority              the roots, for whoever was given their fingerprints
POST /v1/enrol                  a token, or a platform's, for a certificate
POST /v1/certificates           the next certificate, over the connection of the last
POST /v1/certificates/lapsed    the next certificate after the last ran out, by its key
POST /v1/certificates/relay     what an agent that runs a relay shows to hosts
"""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime

from aiohttp import web

from agent.protocol import codec
from agent.protocol.enrolment import FORMAT, REQUEST_LIMIT, Authority, EnrolmentRequest, Issued, RenewalRequest
from agent.protocol.errors import OrdainError
from reconciler.control.api.answers import answer
from reconciler.control.api.bodies import Bodies
from reconciler.control.api.routes import AGENT, ANYONE, Route, agent_of
from reconciler.control.authority.keeper import Keeper
from reconciler.control.enrolment.enrolling import Enrolling
from reconciler.control.enrolment.relays import Relays
from reconciler.control.enrolment.renewing import Renewing
from reconciler.control.limits import Rate, Rates
from reconciler.publication.times import stamp

REFUSED = Rate(per_second=0.2, burst=100)
"""What is shown from one address and does not hold. Who brings more of it waits for each answer, and so costs others fewer handshakes."""
HELD_SECONDS = 5.0
"""For so long."""


class _Joining:
    """The handlers."""

    def __init__(self, enrolling: Enrolling, renewing: Renewing, relays: Relays, keeper: Keeper) -> None:
        self._enrolling, self._renewing, self._relays, self._keeper = enrolling, renewing, relays, keeper
        self._bodies = Bodies()
        self._refused = Rates()

    async def authority(self, _: web.Request) -> web.Response:
        """Answer with the roots."""
        return answer(Authority(format=FORMAT, authority=self._keeper.authority(), server_time=stamp(datetime.now(UTC))))

    async def enrol(self, request: web.Request) -> web.Response:
        """Enrol a host."""
        asked = codec.decode(await self._read(request), EnrolmentRequest, what="enrolment", limit=REQUEST_LIMIT)
        address = request.remote or ""
        return answer(await self._held(address, self._enrolling.enrol(asked, address=address)), status=201)

    async def renew(self, request: web.Request) -> web.Response:
        """Renew the certificate of whoever asks."""
        asked = codec.decode(await self._read(request), RenewalRequest, what="renewal", limit=REQUEST_LIMIT)
        return answer(await self._renewing.renew(agent_of(request), asked), status=201)

    async def renew_lapsed(self, request: web.Request) -> web.Response:
        """Renew a certificate that ran out."""
        asked = codec.decode(await self._read(request), RenewalRequest, what="renewal", limit=REQUEST_LIMIT)
        address = request.remote or ""
        return answer(await self._held(address, self._renewing.renew_lapsed(asked, address=address)), status=201)

    async def relay(self, request: web.Request) -> web.Response:
        """Issue what a relay shows."""
        asked = codec.decode(await self._read(request), RenewalRequest, what="request of a relay", limit=REQUEST_LIMIT)
        return answer(await self._relays.issue(agent_of(request), asked), status=201)

    async def _held(self, address: str, issued: Awaitable[Issued]) -> Issued:
        """Return what is issued; a refusal comes at once, but not over and over."""
        try:
            return await issued
        except OrdainError:
            if self._refused.wait(address, REFUSED, time.monotonic()):
                await asyncio.sleep(HELD_SECONDS)
            raise

    async def _read(self, request: web.Request) -> bytes:
        return await self._bodies.read(request, limit=REQUEST_LIMIT)


def routes(enrolling: Enrolling, renewing: Renewing, relays: Relays, keeper: Keeper) -> list[Route]:
    """Return the routes. One in quarantine may renew: it goes on reporting, which is what an operator wants to see."""
    joining = _Joining(enrolling, renewing, relays, keeper)
    return [
        Route(method="GET", path="/v1/authority", handler=joining.authority, who=ANYONE),
        Route(method="POST", path="/v1/enrol", handler=joining.enrol, who=ANYONE, body=REQUEST_LIMIT),
        Route(
            method="POST",
            path="/v1/certificates",
            handler=joining.renew,
            who=AGENT,
            body=REQUEST_LIMIT,
            even=frozenset({"quarantined"}),
        ),
        Route(method="POST", path="/v1/certificates/lapsed", handler=joining.renew_lapsed, who=ANYONE, body=REQUEST_LIMIT),
        Route(method="POST", path="/v1/certificates/relay", handler=joining.relay, who=AGENT, body=REQUEST_LIMIT),
    ]
