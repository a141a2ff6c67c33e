"""How far a wave may go where not all of it may go at once: read from what hosts show, all of it, each time it is asked."""

from collections import Counter

from sqlalchemy import Connection

from agent.protocol.rollout import selected, slot
from reconciler.control.conduct.hosts import newest_receipts, read_hosts, read_unwell
from reconciler.control.conduct.planning import Plan
from reconciler.control.conduct.task import Task
from reconciler.control.rollout.evidence import Host
from reconciler.control.rollout.pacing import Pace, Placed, pace
from reconciler.control.rollout.progress import Progress
from reconciler.rollouts.strategy import Unavailable
from reconciler.rollouts.waves import Member, Wave


def paced_wave(connection: Connection, task: Task, limit: Unavailable, plan: Plan, before: Progress, wave: Wave) -> Pace:  # noqa: PLR0917 - each another
    """Return how far a wave may go by what its hosts show now; `before` is how the rollout stands."""
    wanted = (task.tenant, task.fleet, plan.asked.name)
    said, _ = newest_receipts(connection, *wanted, plan.asked.attempt)
    known = read_hosts(connection, task.tenant, task.fleet, said=said, unwell=read_unwell(connection, *wanted))
    sizes = Counter(one.labels.get(limit.label, "") if limit.label else "" for one in plan.members)
    held = frozenset(before.held)
    placed = [_placed(one, known.get(one.name), plan, before, wave, one.name in held) for one in plan.members]
    return pace(limit, [one for one in placed if one.selected or one.slot < wave.bound], sizes, bound=before.bound, most=wave.bound)


def _placed(member: Member, host: Host | None, plan: Plan, before: Progress, wave: Wave, held: bool) -> Placed:  # noqa: FBT001, PLR0917 - private
    place = slot(plan.asked.name, plan.asked.attempt, member.name)
    reached = place < before.bound or selected(member.labels, before.selectors)
    return Placed(
        name=member.name,
        labels=member.labels,
        slot=place,
        selected=selected(member.labels, wave.selectors),
        let=reached and not held,
        there=host is not None and host.connected,
        well=host is not None and host.said is not None and host.said.result == "applied" and host.well,
    )
