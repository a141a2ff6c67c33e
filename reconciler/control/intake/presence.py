"""Which agents are there, lost, or come and go: decided from when each was seen last and what its controls say of reporting.

Changes are events, each told once whichever copy of `serve` finds it. One that was lost more often within an hour than it may is
flapping until that hour has passed: its comings and goings are then no news.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from reconciler.control.intake.pace import is_lost
from reconciler.control.known import KnownTenants, reporting
from reconciler.control.registry import agents, audit, events
from reconciler.control.registry.agents import Agent, Filter, Presence
from reconciler.control.registry.columns import microseconds
from reconciler.publication.controls import Reporting
from reconciler.publication.times import stamp

FLAPPING_HOUR = timedelta(hours=1)
PAGE = 500
LOSSES_LIMIT = 100
"""Losses that are counted: nobody tolerates more."""
LEASE_OVER = "its lease is over"
THERE: tuple[Presence, ...] = ("online",)
AWAY: tuple[Presence, ...] = ("", "lost")
UNSTEADY: tuple[Presence, ...] = ("flapping",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of an agent's presence, and the event that says so, "" where it is no news."""

    presence: Presence
    kind: str = ""
    text: str = ""


def change(agent: Agent, stated: Reporting, *, losses: int, now: datetime) -> Change | None:
    """Return what changes about an agent, None where nothing does; `losses` are those within the last hour."""
    last = agent.last_seen or agent.enrolled_at
    lost = is_lost(stated, last, now=now)
    if agent.presence == "flapping":
        still = agent.presence_at is not None and now - agent.presence_at < FLAPPING_HOUR
        return None if still else Change(presence="lost" if lost else "online", kind="agent-steady")
    if lost and agent.presence != "lost":
        if losses + 1 > stated.tolerance:
            return Change(presence="flapping", kind="agent-flapping", text=f"lost {losses + 1} times within an hour")
        return Change(presence="lost", kind="agent-lost", text=f"seen last at {stamp(last)}")
    if not lost and agent.presence != "online" and agent.last_seen is not None:
        return Change(presence="online", kind="agent-back" if agent.presence == "lost" else "")
    return None


def sweep(connection: Connection, known: KnownTenants, *, now: datetime) -> int:
    """Write down whose presence changed, with an event for each; return how many did."""
    changes: list[tuple[str, str, Presence]] = []
    told: list[events.Event] = []
    for agent in _candidates(connection, known, now):
        controls = known.controls(agent.tenant)
        stated = reporting(controls, agent.agent) if controls else Reporting()
        found = change(agent, stated, losses=_losses(connection, agent, now), now=now)
        if found is not None:
            changes.append((agent.tenant, agent.agent, found.presence))
            told += [_event(agent, found, now)] if found.kind else []
    agents.set_presence(connection, changes, now=now)
    events.append(connection, told)
    return len(changes)


def end_leases(connection: Connection, *, now: datetime) -> int:
    """Let members of pools go whose lease is over; return how many. Their certificates go too, and the audit says so."""
    over = sorted(agents.past_lease(connection, now=now, limit=PAGE), key=lambda one: (one.tenant, one.agent))
    for one in over:
        agents.set_state(connection, one.tenant, one.agent, "decommissioned", by="serve", reason=LEASE_OVER, now=now)
    for one in over:
        said: dict[str, Any] = {"target": one.name, "reason": LEASE_OVER, "detail": {"before": one.state}, "at": now}
        audit.append(connection, one.tenant, who="system", action="agents.decommission", **said)
    return len(over)


def _candidates(connection: Connection, known: KnownTenants, now: datetime) -> Iterator[Agent]:
    """Yield agents whose presence may have changed: few, where hardly any comes or goes."""
    soonest = now - timedelta(seconds=_shortest(known))
    longest = now - timedelta(seconds=_longest(known))
    wanted = (
        Filter(states=agents.LIVE, presences=THERE, seen_before=soonest),
        Filter(states=agents.LIVE, presences=AWAY, seen_since=longest),
        Filter(states=agents.LIVE, presences=("",), seen_before=soonest),
        Filter(states=agents.LIVE, presences=UNSTEADY),
    )
    for one in wanted:
        after = ""
        while True:
            page = agents.listed(connection, one, after=after, limit=PAGE)
            yield from page.items
            if not page.next:
                break
            after = page.next


def _shortest(known: KnownTenants) -> int:
    return min(_spans(known), default=Reporting().lost_after)


def _longest(known: KnownTenants) -> int:
    return max(_spans(known), default=Reporting().lost_after)


def _spans(known: KnownTenants) -> Iterator[int]:
    for tenant in known.tenants():
        controls = known.controls(tenant)
        if controls is not None:
            own = [one.reporting for one in controls.agents.values()] + [one.reporting for one in controls.pools.values()]
            yield from (stated.lost_after for stated in (controls.reporting, *own) if stated is not None)


def _losses(connection: Connection, agent: Agent, now: datetime) -> int:
    if agent.presence == "":
        return 0
    wanted = events.Filter(tenant=agent.tenant, agent=agent.agent, kind="agent-lost", since=now - FLAPPING_HOUR)
    return len(events.listed(connection, wanted, limit=LOSSES_LIMIT).items)


def _event(agent: Agent, found: Change, now: datetime) -> events.Event:
    """Return the event; its key is the same for every process that finds the same change."""
    since = microseconds(agent.last_seen or agent.enrolled_at) if found.presence == "lost" else microseconds(agent.presence_at or now)
    return events.Event(
        tenant=agent.tenant,
        agent=agent.agent,
        key=f"{found.kind}.{since}",
        kind=found.kind,
        at=stamp(now),
        received_at=now,
        text=found.text,
    )
