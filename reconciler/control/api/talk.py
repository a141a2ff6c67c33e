"""Everything by which agents and `serve` talk, wired once for a process: routes, limits, and what goes on beside them.

    talk = Talk(store=…, registry=…, known=…, standing=…)
    gate = Gate(agents=agents, may_read=known.may_read, pacing=talk.pacing)
    app = talk.add_to(secure([*talk.routes(agents), …], gate))
    await loop.create_server(talk.guards.guarded(runner.server), …)

Whoever publishes calls `talk.waiting.published(tenant, fleet)`; what other copies of `serve` publish is heard from the registry, or found
by looking at the store once a second.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

from aiohttp import web
from sqlalchemy import Connection

from agent.protocol.errors import OrdainError
from reconciler.control.api import reports, watch
from reconciler.control.api.guard import Guards
from reconciler.control.api.pacing import Pacing
from reconciler.control.api.routes import Route
from reconciler.control.identity.agents import Agents
from reconciler.control.identity.standing import Standing
from reconciler.control.intake import presence
from reconciler.control.intake.taking import Believe, Intake
from reconciler.control.known import KnownTenants
from reconciler.control.limits import Limits
from reconciler.control.registry import inventory
from reconciler.control.registry.inventory import Subject
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.wakeups import PUBLISHED, REVOCATIONS
from reconciler.control.watch.answers import Answers
from reconciler.control.watch.kept import Parts
from reconciler.control.watch.waiting import Waiting
from reconciler.publication.controls import Controls
from reconciler.publication.store import Store

LOOK_EVERY = 1.0
"""Seconds between looks for other controls."""
REST_FACTOR = 20
"""A look rests for this many times as long as it took, so that it costs a twentieth of a core at most."""
UPKEEP_EVERY = 10.0
"""Seconds between looks at who is there, who is lost, and whose lease is over."""
AGAIN = 1.0
"""Seconds after which what died of a fault of ours begins again."""

_log = logging.getLogger(__name__)


class Talk:
    """The parts, for whoever wires and measures; one for a process."""

    def __init__(
        self, *, store: Store, registry: Registry, known: KnownTenants, standing: Standing, believe: Believe | None = None
    ) -> None:
        """Nothing goes on before `running`; `believe` is about certificates of reports that a relay brings."""
        self.guards = Guards()
        self.limits = Limits(known)
        self.pacing = Pacing(self.limits)
        self.intake = Intake(registry, known, believe=believe)
        self.waiting = Waiting(Parts(store))
        self._answers = Answers(known, self.waiting, self.intake)
        self._registry, self._known, self._standing = registry, known, standing
        standing.tell(self.waiting.look_again)

    def routes(self, agents: Agents) -> list[Route]:
        """Return the routes; `agents` says who may still be answered after a wait."""
        return [*watch.routes(self._answers, agents, self._standing, self._registry), *reports.routes(self.intake, self.waiting)]

    def add_to(self, app: web.Application) -> web.Application:
        """Have everything go on while an application runs, and return it; who waits is answered before it stops."""
        app.middlewares.insert(0, self.guards.middleware)
        app.cleanup_ctx.append(self.running)
        app.on_shutdown.append(self._release)
        app.on_response_prepare.append(self._sent_elsewhere)
        return app

    async def _release(self, _app: web.Application) -> None:
        self.waiting.release()

    async def _sent_elsewhere(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Have no connection used again once this process stops: whoever asked next on it would find it closed, and count a failure."""
        if self.waiting.released:
            response.force_close()
            response.headers["Connection"] = "close"

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """Look at the controls, then keep everything going while the application runs."""
        await self._look()
        steps = (self.waiting.run, self.intake.groups.run, self._follow_controls, self._keep_up)
        tasks = [asyncio.create_task(for_ever(step)) for step in steps]
        try:
            with self._registry.listen(self._heard):
                yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    def _heard(self, channel: str, payload: str) -> None:
        """Take what the registry tells, in a thread of its own."""
        if channel == PUBLISHED:
            tenant, _, fleet = payload.partition("/")
            self.waiting.published(tenant, fleet)
        elif channel in ("", REVOCATIONS):
            self.intake.signatures.forget_all()

    async def _follow_controls(self) -> None:
        while True:
            took = await self._look()
            await asyncio.sleep(max(LOOK_EVERY, REST_FACTOR * took))

    async def _look(self) -> float:
        """Take new controls over into memory and the registry, and wake whom they are about; return how many seconds looking took."""
        began = time.monotonic()
        try:
            changed = await asyncio.to_thread(self._known.look)
            took = time.monotonic() - began
            self.waiting.known_changed(changed)
            for tenant in sorted(changed):
                controls = self._known.controls(tenant)
                if controls is not None:
                    await self._registry.run(take_inventory, controls)
        except OrdainError as error:
            _log.warning("controls can't be looked at, those from before count: %s", error)
            return time.monotonic() - began
        return took

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP_EVERY)
            try:
                await self.intake.write_seen()
                await self._registry.run(presence.sweep, self._known, now=datetime.now(UTC))
                await self._registry.run(presence.end_leases, now=datetime.now(UTC))
            except OrdainError as error:
                _log.warning("who is there can't be written down: %s", error)


def take_inventory(connection: Connection, controls: Controls) -> bool:
    """Copy the agents and pools of a tenant's controls into the registry, so that lists can be asked for; return whether that was news."""
    subjects = {name: Subject(kind="agent", labels=one.labels, fleets=tuple(set(one.fleets))) for name, one in controls.agents.items()}
    subjects |= {name: Subject(kind="pool", labels=one.labels, fleets=tuple(set(one.fleets))) for name, one in controls.pools.items()}
    return inventory.replace(connection, controls.tenant, subjects, sequence=controls.sequence)


async def for_ever(step: Callable[[], Awaitable[None]]) -> None:
    """Run what never ends by itself; where a fault of ours ends it, say so and begin again."""
    while True:
        try:
            await step()
        except Exception:  # noqa: BLE001 - the last place that sees it; it is logged, and the others go on
            _log.exception("%s died; this is a fault of ordain, please report it", getattr(step, "__qualname__", step))
        await asyncio.sleep(AGAIN)
