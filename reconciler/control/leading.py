"""Copies of `serve` that share a registry: a lease there says which of them publishes, and what each has to tell the others hear there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from agent.protocol.errors import OrdainError
from reconciler.control.registry import leases, wakeups
from reconciler.control.registry.leases import Lease
from reconciler.control.registry.registry import Registry
from reconciler.control.wakeup import ORDERED, REPORTED, Wakeup, rollout_news
from reconciler.publication.leadership import LEASE_TTL

PUBLISHING = "publishing"
"""The lease's name: one copy publishes for all tenants, since a pass over what did not change costs next to nothing."""
_NEWS = {wakeups.REPORTS: REPORTED, wakeups.ORDERS: ORDERED}
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class RegistryLeases:
    """The lease to publish, in the registry, by the database's clock; as `publication.leadership.Leases`."""

    registry: Registry
    holder: str
    ttl: timedelta = LEASE_TTL
    _held: Lease | None = None

    def acquire(self, floor: int) -> int:
        """Take the lease under an epoch above `floor`; raise `HeldError` while another copy has it."""
        self._held = self.registry.write(leases.acquire, PUBLISHING, holder=self.holder, ttl=self.ttl, floor=floor)
        return self._held.epoch

    def renew(self) -> None:
        """Hold it for another ttl; raise `LostError` if it is somebody else's now."""
        if self._held is not None:
            self._held = self.registry.write(leases.renew, self._held, ttl=self.ttl)

    def release(self) -> None:
        """Let the next one have it at once."""
        if self._held is not None:
            self.registry.write(leases.release, self._held)
            self._held = None


def tell_published(registry: Registry, tenant: str, fleet: str) -> None:
    """Tell all copies that a fleet's repository has news; where that can't be done they find it by themselves, a second later."""
    try:
        registry.write(wakeups.notify, wakeups.PUBLISHED, f"{tenant}/{fleet}")
    except OrdainError as error:
        _log.warning("other copies were not told: %s", error, extra={"tenant": tenant, "fleet": fleet})


@contextmanager
def rollouts_told(registry: Registry, wakeup: Wakeup) -> Iterator[None]:
    """Wake the loop, as long as the context lasts, for receipts and orders that any copy takes."""

    def heard(channel: str, payload: str) -> None:
        if channel in _NEWS:
            wakeup.tell(rollout_news(_NEWS[channel], payload))

    with registry.listen(heard):
        yield
