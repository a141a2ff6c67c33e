"""Rollouts: how each fleet's stands, and what people ordered about it. Written under the epoch of the lease, so a former holder can't."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, update

from reconciler.control.registry import schema
from reconciler.control.registry.upserts import insert
from reconciler.control.registry.wakeups import ORDERS, notify
from reconciler.control.rollout.gates import Hold
from reconciler.control.rollout.orders import Order
from reconciler.control.rollout.progress import Progress
from reconciler.publication.lease import LostError
from reconciler.publication.times import instant, stamp

_rollouts, _orders = schema.rollouts, schema.orders
ORDERS_TAKEN = 100
"""Orders of one fleet that are followed in one step: more come only from a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How a fleet's rollout stood when it was written; `holds` as `[{"kind": …, "why": …, "until": RFC 3339 or ""}]`."""

    tenant: str
    fleet: str
    progress: Progress
    holds: Sequence[dict[str, str]]
    epoch: int
    changed_at: datetime


def get(connection: Connection, tenant: str, fleet: str) -> Kept | None:
    """Return how a fleet's rollout stands, None where nothing is known of it."""
    found = connection.execute(select(_rollouts).where(_rollouts.c.tenant == tenant, _rollouts.c.fleet == fleet)).mappings().one_or_none()
    return _kept(found) if found else None


def listed(connection: Connection, tenant: str) -> list[Kept]:
    """Return how all fleets' rollouts of a tenant stand, by fleet."""
    found = connection.execute(select(_rollouts).where(_rollouts.c.tenant == tenant).order_by(_rollouts.c.fleet)).mappings()
    return [_kept(row) for row in found]


def put(connection: Connection, tenant: str, fleet: str, progress: Progress, *, holds: Sequence[Hold], epoch: int, now: datetime) -> None:
    """Write how a fleet's rollout stands; raise `LostError` where somebody wrote it under a higher epoch."""
    values = {
        "phase": progress.phase,
        "progress": msgspec.to_builtins(progress),
        "holds": plain(holds),
        "epoch": epoch,
        "changed_at": now,
    }
    statement = insert(connection, _rollouts).values(tenant=tenant, fleet=fleet, **values)
    statement = statement.on_conflict_do_update(index_elements=["tenant", "fleet"], set_=values, where=_rollouts.c.epoch <= epoch)
    if connection.execute(statement.returning(_rollouts.c.epoch)).scalar_one_or_none() is None:
        message = f"rollout of {tenant}/{fleet}: another serve leads under a higher epoch; this one stops writing"
        raise LostError(message)


def plain(holds: Sequence[Hold]) -> list[dict[str, str]]:
    """Return holds as they are kept."""
    return [{"kind": one.kind, "why": one.why, "until": stamp(one.until) if one.until else ""} for one in holds]


def order(connection: Connection, tenant: str, fleet: str, wanted: Order, *, now: datetime) -> int:
    """Keep an order until it is followed, and wake who follows it; return its number. `wanted.id` is not looked at."""
    plain = msgspec.to_builtins(msgspec.structs.replace(wanted, id=0))
    statement = insert(connection, _orders).values(tenant=tenant, fleet=fleet, order=plain, given_at=now)
    number = int(connection.execute(statement.returning(_orders.c.id)).scalar_one())
    notify(connection, ORDERS, f"{tenant}/{fleet}")
    return number


def unfollowed(connection: Connection, tenant: str, fleet: str) -> list[Order]:
    """Return the orders about a fleet that were not followed yet, oldest first."""
    found = select(_orders.c.id, _orders.c.order).where(
        _orders.c.tenant == tenant, _orders.c.fleet == fleet, _orders.c.followed_at.is_(None)
    )
    rows = connection.execute(found.order_by(_orders.c.id).limit(ORDERS_TAKEN)).mappings()
    return [msgspec.structs.replace(msgspec.convert(row["order"], Order), id=row["id"]) for row in rows]


def ordered(connection: Connection, tenant: str) -> set[str]:
    """Return the fleets of a tenant about which there are orders that were not followed yet."""
    found = select(_orders.c.fleet).where(_orders.c.tenant == tenant, _orders.c.followed_at.is_(None)).distinct()
    return set(connection.execute(found).scalars())


def followed(connection: Connection, number: int) -> datetime | None:
    """Return when an order was followed, None where it was not yet; what came of it are the events that were kept at that instant."""
    return connection.execute(select(_orders.c.followed_at).where(_orders.c.id == number)).scalar_one_or_none()


def asked_by(connection: Connection, tenant: str, fleet: str) -> str:
    """Return who asked for what is on its way: whoever ordered it to be tried again, or `commit:<sha>`; "" where nothing is."""
    kept = get(connection, tenant, fleet)
    candidate = kept.progress.candidate if kept else None
    if candidate is None:
        return ""
    since = instant(candidate.at, what="candidate")
    given = select(_orders.c.order).where(_orders.c.tenant == tenant, _orders.c.fleet == fleet, _orders.c.followed_at >= since)
    found = [msgspec.convert(row, Order) for row in connection.execute(given.order_by(_orders.c.id)).scalars()]
    return next((one.who for one in reversed(found) if one.kind == "retry"), f"commit:{candidate.commit}")


def follow(connection: Connection, numbers: Sequence[int], *, now: datetime) -> None:
    """Note that orders were followed, in the transaction that writes what came of them."""
    if numbers:
        connection.execute(update(_orders).where(_orders.c.id.in_(numbers)).values(followed_at=now))


def prune(connection: Connection, *, before: datetime, limit: int) -> int:
    """Forget orders that were given before then and followed, at most `limit`; return how many."""
    old = select(_orders.c.id).where(_orders.c.given_at < before, _orders.c.followed_at.is_not(None)).limit(limit)
    return connection.execute(delete(_orders).where(_orders.c.id.in_(old))).rowcount


def _kept(row: Any) -> Kept:
    return Kept(
        tenant=row["tenant"],
        fleet=row["fleet"],
        progress=msgspec.convert(row["progress"], Progress),
        holds=row["holds"],
        epoch=row["epoch"],
        changed_at=row["changed_at"],
    )
