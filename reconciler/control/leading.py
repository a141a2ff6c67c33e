"""Which copy of `serve` publishes, where several share a registry: a lease there, by the database's clock."""

from dataclasses import dataclass
from datetime import timedelta

from reconciler.control.registry import leases
from reconciler.control.registry.leases import Lease
from reconciler.control.registry.registry import Registry
from reconciler.publication.leadership import LEASE_TTL

PUBLISHING = "publishing"
"""The lease's name: one copy publishes for all tenants, since a pass over what did not change costs next to nothing."""


@dataclass(slots=True, kw_only=True)
class RegistryLeases:
    """The lease to publish, in the registry; as `publication.leadership.Leases`."""

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
