"""The control zone as it faces the network: all its parts, wired once for a process.

What others add: a group of routes stands in `_routes`, what goes on beside the listener in `secure.cleanup_ctx`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import Connection

from agent.protocol.errors import OrdainError
from agent.protocol.identity import AgentName
from reconciler.control.api import enrol, files
from reconciler.control.api.application import secure
from reconciler.control.api.gate import Gate, Operators
from reconciler.control.api.hooks import Hooks
from reconciler.control.api.routes import AGENT, Route
from reconciler.control.api.talk import Talk
from reconciler.control.authority.certificates import AGENT_LIFETIME, agent_name
from reconciler.control.authority.keeper import Keeper, Make
from reconciler.control.authority.listening import Listening
from reconciler.control.authority.rotation import Rotation, Terms, try_step
from reconciler.control.enrolment.enrolling import Enrolling
from reconciler.control.enrolment.platforms import Platforms
from reconciler.control.enrolment.policy import Policy
from reconciler.control.enrolment.relays import Relays
from reconciler.control.enrolment.renewing import Renewing
from reconciler.control.identity.agents import Agents
from reconciler.control.identity.recording import Recorder
from reconciler.control.identity.refusals import Refusals
from reconciler.control.identity.standing import Standing, Standings
from reconciler.control.known import KnownTenants
from reconciler.control.outage import Outage
from reconciler.control.registry import standings
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.wakeups import AGENTS, REVOCATIONS
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import Store

ROTATION_EVERY = 2.0
"""Seconds between looks at how a change of authority goes."""
REFRESH_REST = 0.2
"""Seconds between two readings of who is in good standing, however often it changes."""
FAILING_REST = 5.0
"""Seconds until it is read again where it could not be, unless the registry is heard of before."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """What a zone is made of. `names` are those of the server's certificate, `make` makes what the authority lacks (`ordain up`)."""

    store: Store
    ring: KeyRing
    registry: Registry
    names: Sequence[str]
    policy: Policy
    platforms: Platforms = field(default_factory=Platforms)
    lifetime: timedelta = AGENT_LIFETIME
    make: Make | None = None
    terms: Terms = field(default_factory=Terms)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Zone:
    """The parts, for whoever wires further ones, and for metrics."""

    def __init__(self, settings: ZoneSettings) -> None:
        """Nothing is read or listened on yet."""
        store, registry = settings.store, settings.registry
        self.settings = settings
        self.known = KnownTenants(store)
        self.standing = Standing()
        self.keeper = Keeper(store, settings.ring, lifetime=settings.lifetime, make=settings.make, now=settings.now)
        self.listening = Listening(self.keeper, settings.names)
        self.recorder = Recorder(registry, self.known, now=settings.now)
        self.rotation = Rotation(
            store=store, registry=registry, known=self.known, keeper=self.keeper, terms=settings.terms, now=settings.now
        )
        self.agents = Agents(self.keeper, self.standing, self._recorded, now=settings.now)
        self.talk = Talk(store=store, registry=registry, known=self.known, standing=self.standing, believe=self._believed)
        self.enrolling = Enrolling(
            store=store,
            registry=registry,
            known=self.known,
            keeper=self.keeper,
            standing=self.standing,
            policy=settings.policy,
            platforms=settings.platforms,
            now=settings.now,
        )
        self.renewing = Renewing(
            store=store, registry=registry, known=self.known, keeper=self.keeper, recorder=self.recorder, now=settings.now
        )
        self.relays = Relays(store=store, registry=registry, known=self.known, keeper=self.keeper, names=settings.names, now=settings.now)
        self.gate = Gate()

    def routes(self) -> list[Route]:
        """Return all routes of agents."""
        return [
            *files.routes(self.settings.store, who=AGENT),
            *self.talk.routes(self.agents),
            *enrol.routes(self.enrolling, self.renewing, self.relays, self.keeper),
        ]

    def application(self, *, operators: Operators | None = None, more: Sequence[Route] = (), hooks: Hooks | None = None) -> web.Application:
        """Return the application behind TLS; `more` are operators' routes, and `operators` knows them."""
        self.gate = Gate(
            agents=self.agents,
            operators=operators,
            may_read=self.known.may_read,
            pacing=self.talk.pacing,
            refusals=Refusals(self.settings.registry, now=self.settings.now),
        )
        app = secure([*self.routes(), *more], self.gate, hooks)
        app.cleanup_ctx.append(self._standing_followed)
        app.cleanup_ctx.append(self._rotating)
        return self.talk.add_to(app)

    async def _recorded(self, certificate: x509.Certificate, name: AgentName) -> None:
        await self.recorder(certificate, name)
        await self.rotation.seen(name, self.keeper.generation_of(certificate, name))

    async def _believed(self, certificate: x509.Certificate) -> None:
        """Take a certificate in that came with a carried report, if the tenant's authority made it and git knows its agent."""
        name = agent_name(certificate)
        self.keeper.require_issued(certificate, name)
        await self.recorder(certificate, name)

    def fingerprints(self) -> list[str]:
        """Return the SHA-256 of each root (DER) in hexadecimal digits, as enrolment tokens carry them."""
        return [root.fingerprint(hashes.SHA256()).hex() for root in self.keeper.roots()]

    async def _standing_followed(self, _app: web.Application) -> AsyncIterator[None]:
        """Know who is in good standing before anybody is answered, and hear of changes while the application runs."""
        loop, stirred = asyncio.get_running_loop(), asyncio.Event()

        def heard(channel: str, _payload: str) -> None:
            if channel in {"", AGENTS, REVOCATIONS}:
                loop.call_soon_threadsafe(stirred.set)

        await self._read_standing()
        following = asyncio.create_task(self._follow(stirred))
        try:
            with self.settings.registry.listen(heard):
                yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _rotating(self, _app: web.Application) -> AsyncIterator[None]:
        """Move a change of authority on while the application runs."""
        await asyncio.to_thread(try_step, self.rotation)

        async def steps() -> None:
            while True:
                await asyncio.sleep(ROTATION_EVERY)
                await asyncio.to_thread(try_step, self.rotation)

        stepping = asyncio.create_task(steps())
        yield
        stepping.cancel()
        await asyncio.gather(stepping, return_exceptions=True)

    async def _follow(self, stirred: asyncio.Event) -> None:
        outage = Outage(_log, "who is revoked can't be read, what was known counts")
        while True:
            await stirred.wait()
            stirred.clear()
            try:
                await self._read_standing()
            except OrdainError as error:
                outage.failed(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(FAILING_REST):
                        await stirred.wait()
                stirred.set()
            else:
                outage.over()
            await asyncio.sleep(REFRESH_REST)

    async def _read_standing(self) -> None:
        self.standing.replace(await self.settings.registry.ask(_read, now=self.settings.now()))


def _read(connection: Connection, *, now: datetime) -> Standings:
    return Standings(certificates=standings.revoked(connection, now=now), agents=standings.held(connection, now=now))
