"""Keeping many small things by few commits: what comes within a fifth of a second is kept together, and answered after that.

Tenants take turns: a group holds so many of each, so one tenant's storm waits behind itself. What can't be kept is told to whoever
brought it, and nobody else: a group that fails for a fault of ours is tried again one by one.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.protocol.errors import OrdainError
from reconciler.control.refusal import Denied

EVERY = 0.2
"""Seconds between commits where there are heartbeats only."""
SOON = 0.02
"""Seconds between commits where something waits that somebody may be waiting for, a receipt say."""
SHARE = 2000
"""Of one tenant in one group."""
FULL = 500
"""That wait: then nothing is gained by waiting for more."""
GROUP = 4000
"""In one group: about a second's work."""
QUEUE = 20_000
"""Of one tenant that wait: more are asked to come back later."""

T = TypeVar("T")
R = TypeVar("R")
Keep = Callable[[Sequence[T]], Awaitable[Sequence[R]]]
"""Keeps several for good, and returns what came of each."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Entry(Generic[T, R]):
    item: T
    kept: "asyncio.Future[R]"


class Groups(Generic[T, R]):
    """What waits to be kept, by tenant. `kept`, `commits` and `seconds` (of the last commit) are for metrics."""

    def __init__(self, keep: Keep[T, R]) -> None:
        """Nothing waits; nothing is kept before `run` runs."""
        self.kept = 0
        self.commits = 0
        self.seconds = 0.0
        self._keep = keep
        self.queued = 0
        """How many wait now."""
        self._queues: dict[str, deque[_Entry[T, R]]] = {}
        self._stirred = asyncio.Event()
        self._soon = asyncio.Event()

    async def put(self, tenant: str, item: T, *, soon: bool) -> R:
        """Return what came of an item once it is kept for good; `soon` where somebody may be waiting for it.

        Raises:
            Denied: too many of this tenant wait (slow-down), or it could not be kept (unavailable).
        """
        queue = self._queues.setdefault(tenant, deque())
        if len(queue) >= QUEUE:
            message = f"{len(queue)} reports of {tenant} wait to be kept; report again later"
            raise Denied("slow-down", message, retry_after=5)
        entry: _Entry[T, R] = _Entry(item, asyncio.get_running_loop().create_future())
        queue.append(entry)
        self.queued += 1
        self._stirred.set()
        if soon or self.queued >= FULL:
            self._soon.set()
        return await entry.kept

    async def run(self) -> None:
        """Keep what comes, until cancelled."""
        last = 0.0
        while True:
            await self._stirred.wait()
            await asyncio.sleep(last + SOON - time.monotonic())
            if not self._soon.is_set():
                await self._first(last + EVERY - time.monotonic())
            last = time.monotonic()
            await self._keep_group(self._take())
            self.seconds = time.monotonic() - last

    async def _first(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._soon.wait()
        except TimeoutError:
            return

    def _take(self) -> list[_Entry[T, R]]:
        """Return the next group, the tenants taking turns; clear what says that something waits where nothing does any more."""
        group: list[_Entry[T, R]] = []
        for tenant in list(self._queues):
            queue = self._queues.pop(tenant)
            group.extend(queue.popleft() for _ in range(min(SHARE, len(queue), GROUP - len(group))))
            if queue:
                self._queues[tenant] = queue  # behind the others
        self.queued -= len(group)
        if self.queued < FULL:
            self._soon.clear()
        if not self._queues:
            self._stirred.clear()
        return group

    async def _keep_group(self, group: Sequence[_Entry[T, R]]) -> None:
        wanted = [entry for entry in group if not entry.kept.done()]  # whoever went away sends it again
        if not wanted:
            return
        try:
            found = await self._keep([entry.item for entry in wanted])
        except OrdainError as error:
            _log.warning("reports are not kept, agents send them again: %s", error)
            self._fail(wanted)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one report may not hold up the others; it is logged below
            if len(wanted) == 1:
                _log.exception("a report can't be kept; this is a fault of ordain, please report it", exc_info=error)
                self._fail(wanted)
                return
            for entry in wanted:
                await self._keep_group([entry])
        else:
            self.commits += 1
            self.kept += len(wanted)
            for entry, outcome in zip(wanted, found, strict=True):
                if not entry.kept.done():
                    entry.kept.set_result(outcome)

    def _fail(self, entries: Sequence[_Entry[T, R]]) -> None:
        for entry in entries:
            if not entry.kept.done():
                entry.kept.set_exception(Denied("unavailable", "the report could not be kept now; send it again", retry_after=5))
