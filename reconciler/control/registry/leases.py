"""Leases in the registry, for several `serve`: who does a thing that only one may do, until when, under which epoch.

By the database's clock, in one statement each, so that clocks of machines don't matter. As those in the store
(`publication.lease`), each acquisition raises the epoch, above what is published already (the floor): what a former holder still
writes is older, and refused by whoever reads it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, literal, or_, select, update

from reconciler.control.registry import clock, schema
from reconciler.control.registry.upserts import insert
from reconciler.publication.lease import HeldError, LostError

HOUSEKEEPING = "housekeeping"
"""The lease that says whose turn it was to forget what is old: it is left to run out, also by a process that has ended."""
_table = schema.leases


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease that is held; `expires_at` is by the database's clock."""

    name: str
    holder: str
    epoch: int
    expires_at: datetime


def acquire(connection: Connection, name: str, *, holder: str, ttl: timedelta, floor: int = 0) -> Lease:
    """Take a lease that is free, over or our own, under an epoch above `floor` and above all it ever had.

    Raises:
        HeldError: somebody else has it; the message says who, and until when.
    """
    at = clock.now(connection)
    connection.execute(insert(connection, _table).values(name=name, holder="", epoch=0, expires_at=at).on_conflict_do_nothing())
    free = or_(_table.c.expires_at <= at, _table.c.holder == holder)
    greatest = func.max if connection.dialect.name == "sqlite" else func.greatest
    raised = (
        update(_table)
        .where(_table.c.name == name, free)
        .values(holder=holder, epoch=greatest(_table.c.epoch, literal(floor)) + 1, expires_at=at + ttl)
    )
    epoch = connection.execute(raised.returning(_table.c.epoch)).scalar_one_or_none()
    if epoch is None:
        found = get(connection, name)
        message = f"lease {name}: held by {found.holder if found else 'another'}; this one stands by until that ends or gives it back"
        raise HeldError(message)
    return Lease(name=name, holder=holder, epoch=epoch, expires_at=at + ttl)


def renew(connection: Connection, lease: Lease, *, ttl: timedelta) -> Lease:
    """Hold a lease for another `ttl` from now; raise `LostError` where somebody else has it, or had it meanwhile.

    One that ran out and that nobody took is held on.
    """
    until = clock.now(connection) + ttl
    if not _change(connection, lease, until):
        message = f"lease {lease.name}: somebody else took it; this one stops writing"
        raise LostError(message)
    return Lease(name=lease.name, holder=lease.holder, epoch=lease.epoch, expires_at=until)


def release(connection: Connection, lease: Lease) -> None:
    """Let the next one have a lease at once; nothing happens where it is somebody else's already. The epoch stays."""
    _change(connection, lease, clock.now(connection))


def get(connection: Connection, name: str) -> Lease | None:
    """Return who had a lease last; None where nobody ever had it."""
    row = connection.execute(select(_table).where(_table.c.name == name)).mappings().one_or_none()
    return Lease(**row) if row else None


def _change(connection: Connection, lease: Lease, until: datetime) -> bool:
    ours = (_table.c.name == lease.name, _table.c.holder == lease.holder, _table.c.epoch == lease.epoch)
    return connection.execute(update(_table).where(*ours).values(expires_at=until)).rowcount > 0
