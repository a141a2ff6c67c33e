"""Leases: who may write a prefix, for how long, and under which epoch.

A lease only saves work: what keeps two writers from harming each other is create-if-absent and compare-and-swap on what they write.
Each acquisition raises the epoch, never below what is already published (the floor), so documents of a former holder are older.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agent.protocol import codec
from agent.protocol.errors import RetryError
from agent.protocol.state import Struct
from reconciler.publication.store import Store
from reconciler.publication.times import instant, stamp

FORMAT = 1
_log = logging.getLogger(__name__)


class HeldError(RetryError):
    """Somebody else holds the lease: stand by."""


class LostError(RetryError):
    """The lease went to somebody else: stop writing, then stand by."""


class _Record(Struct):
    format: int
    holder: str
    epoch: int
    expires: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease held; `version` is the store's version of its file."""

    key: str
    holder: str
    epoch: int
    expires: datetime
    version: str


def acquire(store: Store, key: str, *, holder: str, ttl: timedelta, now: datetime, floor: int = 0, stale: str = "") -> Lease:
    """Take the lease under an epoch above `floor` and above all that the file has seen.

    `stale` is a version of the file that its holder should have renewed long ago, however long it says to last: its clock may be wrong.

    A holder that comes back (the same name) takes over its own lease at once: names are unique to a state directory, which one
    process at a time uses.

    Raises:
        HeldError: another holder's lease is not over yet.
        LostError: another holder was faster.
    """
    found = store.get_versioned(key)
    record = codec.decode(found[0], _Record, what=key) if found else None
    over = found is not None and found[1] == stale
    if record and not over and record.holder != holder and instant(record.expires, what=key) > now:
        message = f"{key}: held by {record.holder}; this one stands by until that ends or gives it back"
        raise HeldError(message)
    epoch = max(record.epoch if record else 0, floor) + 1
    return _write(store, Lease(key=key, holder=holder, epoch=epoch, expires=now + ttl, version=found[1] if found else ""))


def renew(store: Store, lease: Lease, *, ttl: timedelta, now: datetime) -> Lease:
    """Hold the lease for another `ttl`; raise `LostError` if it is no longer ours."""
    return _write(store, replace(lease, expires=now + ttl))


def release(store: Store, lease: Lease, *, now: datetime) -> None:
    """Let the next one have the lease at once; the epoch stays in the file."""
    try:
        _write(store, replace(lease, expires=now))
    except RetryError as error:
        _log.info("the lease was not given back, it runs out by itself: %s", error)


def _write(store: Store, lease: Lease) -> Lease:
    record = _Record(format=FORMAT, holder=lease.holder, epoch=lease.epoch, expires=stamp(lease.expires))
    data = codec.canonical(record)
    if not store.replace(lease.key, data, lease.version or None):
        raise _lost(lease)
    found = store.get_versioned(lease.key)
    if found is None or found[0] != data:
        raise _lost(lease)
    return replace(lease, version=found[1])


def _lost(lease: Lease) -> LostError:
    message = f"{lease.key}: somebody else took it; this one stops writing"
    return LostError(message)
