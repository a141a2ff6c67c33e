"""Freezes that people put on by hand, for an emergency: they end by themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, or_, select, update

from reconciler.control.registry import schema
from reconciler.control.registry.upserts import insert

_table = schema.stops


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A freeze: of all tenants where `tenant` is "", of all of a tenant's fleets where `fleets` is empty."""

    id: int
    tenant: str
    fleets: Sequence[str]
    reason: str
    who: str
    begins_at: datetime
    until: datetime
    ended_at: datetime | None = None

    def is_about(self, tenant: str, fleet: str) -> bool:
        """Return whether it stops this fleet."""
        return self.tenant in ("", tenant) and (not self.fleets or fleet in self.fleets)


def add(connection: Connection, *, tenant: str, fleets: Sequence[str], reason: str, who: str, begins_at: datetime, until: datetime) -> Stop:
    """Put a freeze on."""
    plain = {"tenant": tenant, "fleets": list(fleets), "reason": reason, "who": who, "begins_at": begins_at, "until": until}
    number = connection.execute(insert(connection, _table).values(**plain).returning(_table.c.id)).scalar_one()
    return Stop(id=number, tenant=tenant, fleets=tuple(fleets), reason=reason, who=who, begins_at=begins_at, until=until)


def end(connection: Connection, number: int, *, now: datetime) -> bool:
    """Take a freeze off before its end; return whether it was on."""
    statement = update(_table).where(_table.c.id == number, _table.c.ended_at.is_(None), _table.c.until > now).values(ended_at=now)
    return connection.execute(statement).rowcount > 0


def get(connection: Connection, number: int) -> Stop | None:
    """Return a freeze by its number, None where there is none."""
    found = connection.execute(select(_table).where(_table.c.id == number)).mappings().one_or_none()
    return Stop(**found) if found else None


def on(connection: Connection, *, now: datetime, tenant: str | None = None) -> list[Stop]:
    """Return the freezes that are on, of every tenant or of one and of all; oldest first."""
    wanted = select(_table).where(_table.c.ended_at.is_(None), _table.c.until > now)
    if tenant is not None:
        wanted = wanted.where(or_(_table.c.tenant == tenant, _table.c.tenant == ""))
    return [Stop(**row) for row in connection.execute(wanted.order_by(_table.c.id)).mappings()]


def prune(connection: Connection, *, before: datetime, limit: int) -> int:
    """Forget freezes that were over before then, at most `limit`; return how many."""
    old = select(_table.c.id).where(_table.c.until < before).limit(limit)
    return connection.execute(delete(_table).where(_table.c.id.in_(old))).rowcount
