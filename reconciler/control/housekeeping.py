"""Forgetting what is old, beside everything else: an hour's worth each hour, by one copy of `serve` at a time.

Each tenant's controls say for how long its receipts, events and audit are kept, and the settings say it for the others. Once a day the
installation's audit notes where each tenant's chain stands.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from agent.protocol.errors import OrdainError
from reconciler.control.beside import Running, beside
from reconciler.control.known import KnownTenants
from reconciler.control.registry import audit, leases, retention
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.retention import Keep, Own, Pruned
from reconciler.publication.lease import HeldError

EVERY = 3600.0
"""Seconds between passes; whoever passes holds a lease for as long, so that copies take turns."""
FIRST = 60.0
"""Seconds until the first pass: a start has other things to do."""
SOON = 5.0
"""Seconds until the next one where there was more than one pass may forget."""
ANCHOR_EVERY = timedelta(days=1)

_log = logging.getLogger(__name__)


class Housekeeping:
    """The job, one for a process; `app.cleanup_ctx.append(Housekeeping(…).running)`."""

    def __init__(
        self,
        registry: Registry,
        known: KnownTenants,
        *,
        keep: Keep,
        holder: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        first: float = FIRST,
    ) -> None:
        """Nothing is forgotten before `running`, and `first` seconds; `holder` names this copy."""
        self._registry, self._known, self._keep, self._holder, self._now = registry, known, keep, holder, now
        self._first = first

    @property
    def running(self) -> Running:
        """What goes on while an application runs; for its `cleanup_ctx`."""
        return beside(self._for_ever)

    async def _for_ever(self) -> None:
        await asyncio.sleep(self._first)
        while True:
            left = False
            try:
                left = await asyncio.to_thread(self.once)
            except OrdainError as error:
                _log.warning("what is old could not be forgotten: %s", error)
            except Exception:  # noqa: BLE001 - the last place that sees it; it is logged, and the next pass may do
                _log.exception("housekeeping died; this is a fault of ordain, please report it")
            await asyncio.sleep(SOON if left else EVERY)

    def once(self) -> bool:
        """Make one pass, unless another copy of `serve` is at it or was within the hour; return whether there is more to forget."""
        try:
            self._registry.write(leases.acquire, leases.HOUSEKEEPING, holder=self._holder, ttl=timedelta(seconds=EVERY / 2))
        except HeldError:
            return False
        now = self._now()
        pruned = retention.prune(self._registry, self._keep, self._own(), now=now)
        self._say(pruned)
        self._registry.write(_anchor, now=now)
        return pruned.left

    def _own(self) -> Mapping[str, Own]:
        """Return what each tenant wants of its own; one that left git is kept by the installation's times."""
        found = dict.fromkeys(self._registry.look(retention.tenants), Own())
        for tenant in self._known.tenants():
            controls = self._known.controls(tenant)
            if controls is not None:
                said = controls.retention
                found[tenant] = Own(
                    receipts=timedelta(seconds=said.receipts), events=timedelta(seconds=said.events), audit=timedelta(seconds=said.audit)
                )
        return found

    def _say(self, pruned: Pruned) -> None:
        rows = {kind: number for kind, number in pruned.rows.items() if number}
        if rows:
            _log.info("forgot what is old: %s", ", ".join(f"{number} {kind}" for kind, number in rows.items()))


def _anchor(connection: Connection, *, now: datetime) -> None:
    """Note in the installation's audit where each chain stands, unless that was done within the day."""
    last = audit.last(connection, audit.INSTALLATION, action=audit.ANCHOR)
    if last is None or now - last.at >= ANCHOR_EVERY:
        audit.anchor(connection, at=now)
