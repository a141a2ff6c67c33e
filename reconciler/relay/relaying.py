"""A relay, wired once for a process: what hosts ask, and what goes on beside it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from cryptography import x509

from agent.protocol import durable
from agent.protocol.identity import AgentName
from reconciler import health
from reconciler.control.api.application import secure
from reconciler.control.api.gate import Gate
from reconciler.control.api.guard import Guards
from reconciler.control.api.pacing import Pacing
from reconciler.control.api.talk import for_ever
from reconciler.control.identity.agents import Agents
from reconciler.control.identity.standing import Standing
from reconciler.control.limits import Limits
from reconciler.control.watch.answers import Answers
from reconciler.control.watch.kept import Parts
from reconciler.control.watch.waiting import Waiting
from reconciler.publication.store import LocalStore
from reconciler.relay import routes
from reconciler.relay.copies import Copies
from reconciler.relay.forwarding import Forwarding
from reconciler.relay.known import Carried
from reconciler.relay.shown import GRACE, Shown
from reconciler.relay.spool import LIMIT, Spool
from reconciler.relay.taking import Taking
from reconciler.relay.uplink import Uplink


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """What a relay is made of: `identity` is the directory of the agent's, `server` the uplink's address, "" for the agent's own server.

    `fleets` narrows what is carried, empty is all that git says; `spool` bounds the reports that wait, in bytes.
    """

    identity: Path
    state: Path
    server: str = ""
    fleets: frozenset[str] = frozenset()
    spool: int = LIMIT


class Relay:
    """The parts, for metrics and tests. Make it in the process that runs it."""

    def __init__(self, settings: RelaySettings) -> None:
        """Read who the host is and what is there; raises `InputError` or `MalformedError` where that can't be."""
        self.listens = False
        """Whether hosts are answered already, which begins a moment after there is a certificate."""
        state = settings.state
        durable.sweep(state, deep=False)
        self.uplink = Uplink(settings.server, settings.identity)
        self.carried = Carried(self.uplink.identity.tenant)
        self.shown = Shown(state / "shown.json", self.uplink)
        self.store = LocalStore(state / "store")
        self.waiting = Waiting(Parts(self.store))
        self.spool = Spool(state / "spool", limit=settings.spool)
        self.taking = Taking(self.spool, self.shown)
        self.copies = Copies(
            self.uplink,
            self.store,
            self.carried,
            root=self.shown.root_metadata,
            published=self.waiting.published,
            only=settings.fleets,
        )
        self.forwarding = Forwarding(self.uplink, self.spool, heard=self.taking.heard, stirred=self.taking.stirred)
        self.guards = Guards()
        agents = Agents(self.shown, Standing(), _known_to_the_uplink, grace=GRACE)
        self.gate = Gate(agents=agents, may_read=self.carried.may_read, pacing=Pacing(Limits(self.carried)))

    def application(self) -> web.Application:
        """Return what hosts ask, and have everything else go on while it runs."""
        answers = Answers(self.carried, self.waiting, self.taking, carried=True)
        found = routes.routes(self.store, answers=answers, taking=self.taking, carried=self.carried, uplink=self.uplink)
        app = secure(found, self.gate)
        app.middlewares.insert(0, self.guards.middleware)
        app.cleanup_ctx.append(self._running)
        app.on_shutdown.append(self._release)
        return app

    def beside(self, metrics: Callable[[], bytes]) -> web.Application:
        """Return what is asked for on loopback: health and metrics."""
        return health.add_routes(web.Application(), ready=self._missing, metrics=metrics)

    def _missing(self) -> str:
        if self.shown.ends is None:
            return f"no certificate to answer hosts with yet: {self.shown.why}"
        if not self.listens:
            return "nobody listens for hosts yet"
        return "" if self.carried.versions else f"nothing is copied yet: {self.copies.why or 'git names no fleets for this relay'}"

    async def _running(self, _app: web.Application) -> AsyncIterator[None]:
        """Take up what is there, then keep everything going while the application runs."""
        await self.copies.look()
        steps = (self.waiting.run, self.taking.groups.run, self.copies.run, self.copies.keep_looking, self.forwarding.run)
        tasks = [asyncio.create_task(for_ever(step)) for step in (*steps, self.shown.keep_fresh)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            await self.uplink.close()

    async def _release(self, _app: web.Application) -> None:
        self.waiting.release()


async def _known_to_the_uplink(_certificate: x509.Certificate, _name: AgentName) -> None:
    """Believe a certificate that the tenant's authority made: which are revoked the uplink knows, and renews none of them."""
