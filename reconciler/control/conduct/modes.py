"""What hosts show of a mode that is being switched on: those of its first wave, by their receipts in that mode since it is on."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from reconciler.control.conduct.hosts import read_hosts, read_unwell
from reconciler.control.registry import schema
from reconciler.control.rollout.evidence import Host, Said, Tally, Terms, tally
from reconciler.control.rollout.progress import Switch
from reconciler.publication.times import instant
from reconciler.rollouts.strategy import Strategy

_receipts = schema.receipts


def mode_hosts(connection: Connection, tenant: str, fleet: str, switch: Switch, names: Sequence[str], *, digest: str) -> list[Host]:
    """Return what is known of these hosts and a mode; `digest` is the stable release, which a mode is a variant of.

    While a candidate is on its way some of them have that one instead: a receipt in the mode counts whichever release it is of.
    """
    said = _said(connection, tenant, fleet, switch.name, instant(switch.since, what="mode"))
    known = read_hosts(connection, tenant, fleet, said=said, unwell=read_unwell(connection, tenant, fleet, digest))
    return [known.get(name) or Host(name=name) for name in names]


def mode_tally(known: Sequence[Host], switch: Switch, strategy: Strategy, *, switched: str, now: datetime) -> Tally:
    """Return how many of these hosts show what of a mode: they soak as long as those of the first wave of a release.

    `switched` is when a mode was last switched on or off: one that overruled this one may have ended then.
    """
    soak, timeout = timedelta(seconds=strategy.steps[0].soak), timedelta(seconds=strategy.health.timeout)
    return tally(known, Terms(admitted=instant(max(switch.since, switched), what="mode"), soak=soak, timeout=timeout), now)


def _said(connection: Connection, tenant: str, fleet: str, mode: str, since: datetime) -> dict[str, Said]:
    """Return each host's newest receipt in a mode since then."""
    columns = (_receipts.c.agent, _receipts.c.result, _receipts.c.received_at)
    wanted = (_receipts.c.tenant == tenant, _receipts.c.fleet == fleet, _receipts.c.mode == mode, _receipts.c.received_at >= since)
    rows = connection.execute(select(*columns).where(*wanted).order_by(_receipts.c.id))
    return {agent: Said(result=result, at=at) for agent, result, at in rows}
