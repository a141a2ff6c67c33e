"""Whoever asks too often, or too much at once, is told to slow down, and made to.

A refusal is held for a moment before it is sent: whoever asks again at once, in a loop, is slowed by that to what can be borne, and the
time that answering costs is left to others. Connections that wait so are few, or else they are answered at once.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable

from reconciler.control.identity.agents import Asker
from reconciler.control.limits import Limits
from reconciler.control.refusal import Denied

AT_ONCE = 16
"""Requests of one agent that are answered at the same time: it has two connections, and an older one that nobody has closed yet."""
HELD_SECONDS = 1.0
"""That a refusal is held."""
HELD_LIMIT = 2000
"""Refusals that are held at the same time."""


class Pacing:
    """Holds agents and addresses to their limits. `slowed` counts refusals by why, `held` those that are held now; for metrics."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds."""
        self.slowed: Counter[str] = Counter()
        self.held = 0
        self._limits, self._clock = limits, clock
        self._under_way: dict[tuple[str, str], int] = {}

    async def address(self, address: str) -> None:
        """Count a request without a certificate; raise `Denied` (slow-down) where there are too many from there."""
        wait = self._limits.address(address, self._clock())
        if wait:
            await self._refuse("address", wait)

    async def agent(self, asker: Asker, *, talk: bool) -> None:
        """Count a request of an agent; raise `Denied` (slow-down) where it, or its tenant, asks too often.

        `talk` is for watches and reports; see `limits`.
        """
        wait = self._limits.agent(asker.tenant, asker.agent, talk=talk, now=self._clock())
        if wait:
            await self._refuse("talk" if talk else "agent", wait)

    def begin(self, asker: Asker) -> None:
        """Count a request until its `end`; raise `Denied` (slow-down) where one agent has too many."""
        agent = (asker.tenant, asker.agent)
        count = self._under_way.get(agent, 0)
        if count >= AT_ONCE:
            self.slowed["at-once"] += 1
            message = f"{AT_ONCE} requests of this agent are being answered; wait for one of them"
            raise Denied("slow-down", message, retry_after=1)
        self._under_way[agent] = count + 1

    def end(self, asker: Asker) -> None:
        """Count a request that began no more."""
        agent = (asker.tenant, asker.agent)
        count = self._under_way.pop(agent) - 1
        if count:
            self._under_way[agent] = count

    async def _refuse(self, why: str, wait: float) -> None:
        self.slowed[why] += 1
        if self.held < HELD_LIMIT:
            self.held += 1
            try:
                await asyncio.sleep(HELD_SECONDS)
            finally:
                self.held -= 1
        after = math.ceil(wait)
        message = f"too many requests; ask again after {after} seconds, as Retry-After says"
        raise Denied("slow-down", message, retry_after=after)
