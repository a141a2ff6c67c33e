"""Refusals of hosts whose certificate holds, as rows of audit: of one that is revoked, and of one that asks for what is another's.

Such a host may ask for ever, and has no say in how much is written: three rows a day in each process at most, since all is the same that
is refused for one reason, and within its tenant or without.
"""

import logging
import time
from collections.abc import Callable, Hashable
from datetime import UTC, datetime

from agent.protocol.errors import OrdainError
from reconciler.control.identity.agents import Asker
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit
from reconciler.control.registry.registry import Registry

DAILY = 86_400.0
"""Seconds between two rows about the same refusal of one host."""
SAID = 1000
"""Refusals that are told apart in that time; of more, none is written."""
WRITTEN = frozenset({"revoked", "unknown"})
"""Codes that say that somebody tries what is not theirs; the others are how things go."""
ACTION = "agents.request"

_log = logging.getLogger(__name__)


class Repeated:
    """Knows which refusals were told already; `again` is for how many seconds one stands for all that are the same."""

    def __init__(self, again: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._again, self._clock = again, clock
        self._said: dict[Hashable, tuple[float, int]] = {}

    def such_before(self, key: Hashable) -> int | None:
        """Return how many of the same were not told since the last one that was, None where this one is not to be told either."""
        now = self._clock()
        at, more = self._said.get(key, (now - self._again, 0))
        if now - at < self._again:
            self._said[key] = (at, more + 1)
            return None
        if len(self._said) >= SAID:
            self._said = {key: value for key, value in self._said.items() if now - value[0] < self._again}
            if len(self._said) >= SAID:
                return None
        self._said[key] = (now, 0)
        return more


class Refusals:
    """Writes them down; one for a process."""

    def __init__(self, registry: Registry, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._registry, self._now, self._repeated = registry, now, Repeated(DAILY)

    async def note(self, asker: Asker, denied: Denied, *, path: str, foreign: bool, address: str) -> None:
        """Write that a host was refused, unless that stands already; what can't be written is logged.

        `foreign` is whether the path names another tenant.
        """
        who = f"{asker.tenant}/{asker.agent}"
        more = self._repeated.such_before((who, denied.code, foreign)) if denied.code in WRITTEN else None
        if more is None:
            return
        detail = {"address": address, "code": denied.code, "path": path[:200]} | ({"such_before": more} if more else {})
        try:
            await self._registry.run(
                audit.append,
                asker.tenant,
                who=f"agent:{who}",
                action=ACTION,
                target=who,
                outcome="refused",
                reason=str(denied),
                detail=detail,
                at=self._now(),
            )
        except OrdainError as error:
            _log.error("a refusal could not be written into the audit: %s", error, extra={"who": who})
