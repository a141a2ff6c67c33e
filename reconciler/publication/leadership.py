"""Being the one copy of a zone that writes: a lease that is taken, and held on to in a thread of its own however long a step takes.

A copy that stands by takes over within `LEASE_TTL` and one look of its loop. Nothing is lost if two should believe in themselves for a
moment (a process that was stopped and goes on, a clock that is wrong): what they write is create-if-absent or replace-if-unchanged, and
the epoch tells which of them was later.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from agent.protocol.errors import OrdainError
from reconciler.publication import lease
from reconciler.publication.lease import HeldError, Lease, LostError
from reconciler.publication.store import Scoped, Store

LEASE_TTL = timedelta(seconds=6)
"""How long after its last renewal a copy that died still leads: with a look a second, another one leads within 8 s of a death.

Shorter would change leaders whenever a store or a database hesitates; three renewals have to fail for that.
"""
RENEW_SHARE = 3
"""Renewals in the life of a lease."""
_log = logging.getLogger(__name__)


class Leases(Protocol):
    """Where a lease is kept: in the store, or in the registry that several `serve` share."""

    def acquire(self, floor: int) -> int:
        """Take the lease under an epoch above `floor`, and return that; raise `HeldError`, or `LostError` if another was faster."""
        ...

    def renew(self) -> None:
        """Hold it for another ttl; raise `LostError` if it is somebody else's now."""
        ...

    def release(self) -> None:
        """Let the next one have it at once."""
        ...


@dataclass(slots=True, kw_only=True)
class StoreLeases:
    """A lease that is a file in the store. Whose clock is far ahead can't keep it from others for longer than a ttl: see `acquire`."""

    store: Store
    key: str
    holder: str
    now: Callable[[], datetime]
    ttl: timedelta = LEASE_TTL
    _held: Lease | None = None
    _seen: tuple[str, float] = ("", 0.0)

    def acquire(self, floor: int) -> int:
        """Take the lease: if it is over by the clock, or if nobody renewed it for a ttl as this process saw it, whatever it says."""
        version = self.store.version(self.key) or ""
        if version != self._seen[0]:
            self._seen = (version, time.monotonic())
        stale = time.monotonic() - self._seen[1] >= self.ttl.total_seconds()
        self._held = lease.acquire(
            self.store, self.key, holder=self.holder, ttl=self.ttl, now=self.now(), floor=floor, stale=version if stale else ""
        )
        return self._held.epoch

    def renew(self) -> None:
        """Write the lease's file anew."""
        if self._held is not None:
            self._held = lease.renew(self.store, self._held, ttl=self.ttl, now=self.now())

    def release(self) -> None:
        """Write that it is over; where that can't be done it runs out by itself."""
        if self._held is not None:
            lease.release(self.store, self._held, now=self.now())
            self._held = None


@dataclass(slots=True, kw_only=True)
class Leadership:
    """Whether this process leads; for one loop, which takes, asks and gives back, beside the thread that renews."""

    leases: Leases
    ttl: timedelta = LEASE_TTL
    _epoch: int = 0
    _until: float = 0.0
    """By the monotonic clock: counted from before the last renewal was asked for, so never later than others see it."""
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this process leads now, as far as it can know."""
        return self._epoch > 0 and time.monotonic() < self._until

    def take(self, floor: int = 0) -> int:
        """Lead, if that may be, under an epoch above `floor`; return the epoch. Asks nobody while it leads already.

        Raises:
            HeldError, LostError: another copy leads.
            RetryError: the store, or the registry, can't be reached.
        """
        with self._turn:
            if self.held and self._epoch > floor:
                return self._epoch
            began = time.monotonic()
            self._epoch = 0
            self._epoch = self.leases.acquire(floor)
            self._until = began + self.ttl.total_seconds()
        if self._thread is None or not self._thread.is_alive():
            self._ended.clear()
            self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
            self._thread.start()
        return self._epoch

    def require(self) -> int:
        """Return the epoch; raise `LostError` where this process does not lead any more."""
        if not self.held:
            message = "the lease went to somebody else, or could not be renewed; this one stops writing"
            raise LostError(message)
        return self._epoch

    def give_back(self) -> None:
        """Lead no longer, and let the next one at once."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._turn:
            leading, self._epoch = self.held, 0
            if leading:
                try:
                    self.leases.release()
                except OrdainError as error:
                    _log.info("the lease was not given back, it runs out by itself: %s", error)

    def _keep(self) -> None:
        """Renew until it is given back, or lost; while it can't be reached, until it is over."""
        while not self._ended.wait(self.ttl.total_seconds() / RENEW_SHARE):
            with self._turn:
                if not self._renewed():
                    return

    def _renewed(self) -> bool:
        """Renew once; return whether to go on."""
        began = time.monotonic()
        try:
            self.leases.renew()
        except (HeldError, LostError) as error:
            _log.warning("%s", error)
            self._epoch = 0
        except OrdainError as error:
            _log.warning("the lease could not be renewed: %s", error)
        else:
            self._until = began + self.ttl.total_seconds()
        return self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class LedStore(Scoped):
    """A store to which its zone writes only while it leads; `leads` raises `LostError` where it does not.

    It is asked after all that a write is decided by was read, and each write is only if absent, or if unchanged since. So a process
    that was stopped anywhere, and wakes when another leads, writes nothing over what that one wrote: neither file by file, nor a
    whole round that it was in the middle of.
    """

    leads: Callable[[], object]

    def _own(self, key: str) -> str:
        self.leads()
        return Scoped._own(self, key)  # noqa: SLF001 - of this class; `super()` and slots don't go together
