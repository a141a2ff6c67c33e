"""What is kept for how long, and the job that forgets the rest: slice by slice, so that no transaction is long."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from sqlalchemy import Connection, select

from reconciler.control.registry import agents, audit, certificates, events, operators, pending, receipts, rollouts, schema, stops, tokens
from reconciler.control.registry.registry import Registry

SLICE = 1000
"""Rows that one transaction forgets: some ten milliseconds."""
LEAST = timedelta(days=1)
"""Nothing is forgotten sooner, whatever is set: a typo should not empty a table."""
MOST = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """For how long each kind is kept by default; what a Tenant manifest says of receipts, events and audit counts more.

    Hosts of pools that ended are kept as long as receipts. Certificates are kept for so long after they ran out: at least as long as
    lapsed ones may renew. Orders about rollouts that nobody followed yet stay.
    """

    receipts: timedelta = timedelta(days=400)
    events: timedelta = timedelta(days=90)
    audit: timedelta = timedelta(days=1100)
    certificates: timedelta = timedelta(days=120)
    tokens: timedelta = timedelta(days=30)
    operator_tokens: timedelta = timedelta(days=90)
    pending: timedelta = timedelta(days=30)
    orders: timedelta = timedelta(days=90)
    stops: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a tenant wants of its own; zero is for the default."""

    receipts: timedelta = timedelta()
    events: timedelta = timedelta()
    audit: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What one pass forgot, rows by kind; `left` says that some kind had more than its slices, so there should be another pass soon."""

    rows: Mapping[str, int]
    left: bool


class Step(Protocol):
    """Forgets at most `limit` rows, and returns how many."""

    def __call__(self, connection: Connection, /, *, limit: int) -> int:
        """Do so in the transaction of `connection`."""


def prune(registry: Registry, keep: Keep, own: Mapping[str, Own], *, now: datetime, slices: int = 20) -> Pruned:
    """Forget what is old, at most `slices` transactions of `SLICE` rows for each kind and tenant; return what went.

    `own` is by tenant, with every tenant there is; what is of a tenant that is not in it stays.
    """
    rows: Counter[str] = Counter()
    left = False
    for kind, forget in _steps(keep, own, now):
        for _ in range(slices):
            gone = registry.write(forget, limit=SLICE)
            rows[kind] += gone
            if gone < SLICE:
                break
        else:
            left = True
    return Pruned(rows=dict(rows), left=left)


def tenants(connection: Connection) -> list[str]:
    """Return the tenants of which there may be something to forget: all that ever had an agent, or an entry in the audit."""
    found = set(connection.execute(select(schema.agents.c.tenant).distinct()).scalars()) | set(audit.chains(connection))
    return sorted(found - {audit.INSTALLATION})


def _steps(keep: Keep, own: Mapping[str, Own], now: datetime) -> Iterator[tuple[str, Step]]:
    """Yield each kind with what forgets a slice of it."""
    yield "certificates", partial(certificates.prune, before=_before(now, keep.certificates))
    yield "tokens", partial(tokens.prune, before=_before(now, keep.tokens))
    yield "operator_tokens", partial(operators.prune, before=_before(now, keep.operator_tokens))
    yield "pending", partial(pending.prune, before=_before(now, keep.pending))
    yield "orders", partial(rollouts.prune, before=_before(now, keep.orders))
    yield "stops", partial(stops.prune, before=_before(now, keep.stops))
    yield "audit", partial(audit.prune, chain=audit.INSTALLATION, before=_before(now, keep.audit))
    for tenant, wanted in own.items():
        yield "receipts", partial(receipts.prune, tenant=tenant, before=_before(now, wanted.receipts or keep.receipts))
        yield "pool_hosts", partial(agents.prune_ended, tenant=tenant, before=_before(now, wanted.receipts or keep.receipts))
        yield "events", partial(events.prune, tenant=tenant, before=_before(now, wanted.events or keep.events))
        yield "audit", partial(audit.prune, chain=tenant, before=_before(now, wanted.audit or keep.audit))


def _before(now: datetime, kept: timedelta) -> datetime:
    return now - min(max(kept, LEAST), MOST)
