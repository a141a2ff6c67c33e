"""Agents that wait for news of their fleets: who waits for what, and waking them.

Everything here runs in one event loop, but `published` and `known_changed`, which any thread may call. Waking is in small groups with
room for other requests in between: ten thousand at once would hold up all of them for most of a second. What those who were told ask next
waits until all are told (`all_told`), or else the last would hear of news twice as late.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from reconciler.control.watch.kept import Fleet, Parts

GROUP = 50
"""Agents that are woken before other requests get their turn: about 5 ms of work."""
POLL = 1.0
"""Seconds between looks for what another process published; what this one publishes is told at once."""
REST_FACTOR = 20
"""A look rests for this many times as long as it took, so that it costs a twentieth of a core at most."""

Agent = tuple[str, str]
"""Tenant, and the agent's name or `<pool>/<id>`."""


@dataclass(eq=False, slots=True, kw_only=True)
class _Waiter:
    """One held request, woken by its future."""

    agent: Agent
    fleets: tuple[Fleet, ...]
    may_wait: Callable[[], bool]
    woken: "asyncio.Future[None]"


class Waiting:
    """Who waits in this process. `waits`, `wakes` and `wake_seconds` (of the last waking) are for metrics."""

    def __init__(self, parts: Parts) -> None:
        """Nobody waits yet; news reaches nobody before `run` runs."""
        self.parts = parts
        self.waits = 0
        self.wakes = 0
        self.wake_seconds = 0.0
        self._agents: dict[Agent, _Waiter] = {}
        self._fleets: dict[Fleet, dict[_Waiter, None]] = {}
        self._news: set[Fleet] = set()
        self._due: dict[_Waiter, None] = {}
        self.telling = False
        """Whether agents are being told of news just now."""
        self._told: list[asyncio.Future[None]] = []
        self._stirred = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._released = False

    @property
    def waiting(self) -> int:
        """How many requests are held now."""
        return len(self._agents)

    def published(self, tenant: str, fleet: str) -> None:
        """Say that a fleet's timestamp moved: those who wait for it are woken once its files are read. Safe from any thread."""
        self._tell(lambda: self._news.add((tenant, fleet)))

    def known_changed(self, tenants: Iterable[str]) -> None:
        """Say that controls of tenants changed: their agents look whether their fleets are still the same. Safe from any thread."""
        names = frozenset(tenants)
        self._tell(lambda: self._due.update({one: None for one in self._agents.values() if one.agent[0] in names}))

    def look_again(self) -> None:
        """Say that some agents may not wait any more, revoked ones say: those are answered at once. Safe from any thread."""
        self._tell(lambda: self._due.update({one: None for one in self._agents.values() if not one.may_wait()}))

    def _tell(self, note: Callable[[], None]) -> None:
        def told() -> None:
            note()
            self._stirred.set()

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(told)

    async def wait(
        self,
        agent: Agent,
        versions: Mapping[str, int],
        fleets: Collection[str],
        seconds: float,
        *,
        may_wait: Callable[[], bool] = lambda: True,
    ) -> None:
        """Return once one of an agent's fleets is newer than `versions` (by the fleets' own names), it is woken, or time is over.

        `may_wait` is asked at each `look_again`. A second request of the same agent ends the first: its connection is gone, or it would
        not ask again.
        """
        wanted = tuple((agent[0], fleet) for fleet in fleets)
        for fleet in wanted:
            await self.parts.load(fleet)
        if seconds <= 0 or self._released or any(self.is_newer(fleet, versions) for fleet in wanted):
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(agent=agent, fleets=wanted, may_wait=may_wait, woken=loop.create_future())
        self._add(waiter)
        ending = loop.call_later(seconds, _wake, waiter.woken)
        try:
            await waiter.woken
        finally:
            ending.cancel()
            self._remove(waiter)

    async def all_told(self) -> None:
        """Return once all who are being told of news have been; at once where nobody is."""
        if self.telling:
            turn = asyncio.get_running_loop().create_future()
            self._told.append(turn)
            await turn

    def is_newer(self, fleet: Fleet, versions: Mapping[str, int]) -> bool:
        """Return whether what stands published of a fleet is newer than what an agent has of it."""
        part = self.parts.get(fleet)
        return part is not None and part.version > versions.get(fleet[1], 0)

    @property
    def released(self) -> bool:
        """Whether nobody is held any more, since this process stops."""
        return self._released

    def release(self) -> None:
        """Wake everybody, and hold nobody from now on: this process stops, and its agents find another."""
        self._released = True
        for sleeping in [*(waiter.woken for waiter in self._agents.values()), *self._told]:
            _wake(sleeping)

    async def run(self) -> None:
        """Wake who waits for what is new, until cancelled."""
        self._loop = asyncio.get_running_loop()
        look_at = time.monotonic() + POLL
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(look_at - time.monotonic(), 0)):
                    await self._stirred.wait()
            self._stirred.clear()
            if (began := time.monotonic()) >= look_at:
                self._news.update(await self.parts.moved(list(self._fleets)))
                self.parts.forget(self._fleets.keys())
                look_at = time.monotonic() + max(POLL, REST_FACTOR * (time.monotonic() - began))
            await self._wake_due()

    async def _wake_due(self) -> None:
        news, self._news = self._news, set()
        for fleet in news:
            if await self.parts.refresh(fleet):
                self._due.update(self._fleets.get(fleet, {}))
        due, self._due = [waiter.woken for waiter in self._due], {}
        if not due:
            return
        began, self.telling = time.monotonic(), True
        try:
            await _wake_in_groups(due)
            self.wakes += len(due)
            self.wake_seconds = time.monotonic() - began
        finally:
            self.telling = False
            await _wake_in_groups(self._told)
            self._told.clear()

    def _add(self, waiter: _Waiter) -> None:
        older = self._agents.get(waiter.agent)
        if older is not None:
            _wake(older.woken)
        self.waits += 1
        self._agents[waiter.agent] = waiter
        for fleet in waiter.fleets:
            self._fleets.setdefault(fleet, {})[waiter] = None

    def _remove(self, waiter: _Waiter) -> None:
        if self._agents.get(waiter.agent) is waiter:
            del self._agents[waiter.agent]
        for fleet in waiter.fleets:
            waiters = self._fleets[fleet]
            waiters.pop(waiter, None)
            if not waiters:
                del self._fleets[fleet]


async def _wake_in_groups(sleeping: Sequence["asyncio.Future[None]"]) -> None:
    for start in range(0, len(sleeping), GROUP):
        for one in sleeping[start : start + GROUP]:
            _wake(one)
        await asyncio.sleep(0)


def _wake(sleeping: "asyncio.Future[None]") -> None:
    if not sleeping.done():
        sleeping.set_result(None)
