"""Giving an order about a rollout: kept with its audit in one transaction, and waited for until whoever leads has followed it."""

import asyncio
import time
from datetime import timedelta

from sqlalchemy import Connection

from reconciler.control.api import rollout_shapes as shapes
from reconciler.control.api.desk import Desk
from reconciler.control.refusal import Denied
from reconciler.control.registry import audit, events, rollouts
from reconciler.control.rollout.orders import IGNORED, Order, by
from reconciler.control.rollout.progress import Progress
from reconciler.publication.controls import Controls
from reconciler.publication.times import instant

FOLLOWED_WITHIN = 5.0
"""Seconds for which an order is waited for: it is followed within some 100 ms where somebody leads."""
LOOK_AGAIN = 0.05
EVENTS_SHOWN = 20
"""Events of a rollout that are shown: of this one and of some before."""
AN_INSTANT = timedelta(microseconds=1)


def require_controls(desk: Desk, tenant: str) -> Controls:
    """Return the controls of a tenant; raise `Denied` (unknown) where git has none of that name, or had one once."""
    controls = desk.known.controls(tenant)
    if controls is None:
        message = f"tenant {tenant} is not known here yet: its controls come from `ordain reconcile`"
        raise Denied("unknown", message)
    return controls


def require_fleet(desk: Desk, tenant: str, fleet: str) -> Controls:
    """Return the controls of a tenant that has a fleet; raise `Denied` (unknown) where it has none of that name."""
    controls = desk.known.controls(tenant)
    if controls is None or fleet not in controls.fleets:
        message = f"tenant {tenant} has no fleet {fleet}"
        raise Denied("unknown", message)
    return controls


async def ordered(desk: Desk, tenant: str, fleet: str, wanted: Order, *, action: str) -> shapes.Ordered:
    """Keep an order, and return what came of it, or that nobody has followed it yet."""
    require_fleet(desk, tenant, fleet)
    number = await desk.registry.run(_kept, tenant, fleet, wanted, action=action)
    until = time.monotonic() + FOLLOWED_WITHIN
    while (found := await desk.registry.ask(_outcome, tenant, fleet, number, by(wanted))) is None:
        if time.monotonic() >= until:
            return shapes.Ordered(
                target=f"{tenant}/{fleet}", followed=False, ignored=False, why="", digest="", commit="", phase="", happened=[]
            )
        await asyncio.sleep(LOOK_AGAIN)
    return found


def _kept(connection: Connection, tenant: str, fleet: str, wanted: Order, *, action: str) -> int:
    if rollouts.get(connection, tenant, fleet) is None:
        message = f"nothing was rolled out to {tenant}/{fleet} yet"
        raise Denied("unknown", message)
    now = instant(wanted.at, what="order")
    number = rollouts.order(connection, tenant, fleet, wanted, now=now)
    named = ("to", "digest", "commit", "mode", "until")
    detail = {"order": number} | {name: value for name in named if (value := getattr(wanted, name))}
    audit.append(connection, tenant, who=wanted.who, action=action, target=f"{tenant}/{fleet}", reason=wanted.reason, detail=detail, at=now)
    return number


def _outcome(connection: Connection, tenant: str, fleet: str, number: int, whose: str) -> shapes.Ordered | None:
    """Return what came of an order; one of somebody else that was followed in the same instant is not `whose`."""
    at = rollouts.followed(connection, number)
    kept = rollouts.get(connection, tenant, fleet)
    if at is None or kept is None:
        return None
    found = told(connection, events.Filter(tenant=tenant, fleet=fleet, since=at, until=at + AN_INSTANT))
    why = next((one.why for one in found if one.kind == IGNORED and one.why.startswith(f"{whose}: ")), "")
    digest, commit = _about(kept.progress)
    return shapes.Ordered(
        target=f"{tenant}/{fleet}",
        followed=True,
        ignored=bool(why),
        why=why,
        digest=digest,
        commit=commit,
        phase=kept.progress.phase,
        happened=found[::-1],
    )


def _about(progress: Progress) -> tuple[str, str]:
    """Return digest and commit of the release that a rollout is about."""
    if progress.candidate is not None:
        return progress.candidate.release.digest, progress.candidate.commit
    if progress.refused is not None:
        return progress.refused.digest, progress.refused_commit
    return (progress.stable.digest, progress.stable_commit) if progress.stable else ("", "")


def told(connection: Connection, wanted: events.Filter) -> list[shapes.RolloutEvent]:
    """Return the last events of a fleet's rollout, the newest first; what its hosts told is not among them."""
    found = events.of_rollouts(connection, wanted, limit=EVENTS_SHOWN)
    return [
        shapes.RolloutEvent(at=one.at, kind=one.kind.removeprefix(events.ROLLOUT), why=one.text, digest=one.digest, attempt=one.attempt)
        for one in found
    ]
