"""The waves of attempts under way, reckoned once: a slot is a hash for each host, and a look asks for the waves several times.

Listed hosts never change under their members' sequence. Hosts of pools come and go, so where there are any they are read again now and
then, and whenever a rollout is about to move.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agent.protocol.rollout import Release, selected, slot
from reconciler.control.rollout.progress import Progress
from reconciler.rollouts.strategy import Strategy
from reconciler.rollouts.waves import Member, Wave, waves

KEPT = 256
"""Plans that are kept, one for each attempt and mode under way."""
REST_FACTOR = 20
"""What was reckoned rests for this many times as long as that took: at most a twentieth of a core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is planned: the slots are those of `name` (a candidate's digest, or a mode) under `attempt`, the hosts those of a release."""

    fleet: str
    name: str
    attempt: int
    release: Release
    strategy: Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who a release is for, and in which waves they get it."""

    asked: Asked
    members: Sequence[Member]
    waves: Sequence[Wave]
    made_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The hosts that were admitted, by name, and those among them whom the last wave newly reached."""

    names: Sequence[str]
    joining: frozenset[str]


def admitted(plan: Plan, progress: Progress, before: Wave | None) -> Admitted:
    """Return whom a rollout has admitted; `before` is the wave before the last one, None where the last one is the first."""
    names, joining, held = list[str](), list[str](), frozenset(progress.held)
    for member in plan.members:
        if member.name in held:
            continue
        place = slot(plan.asked.name, plan.asked.attempt, member.name)
        if place < progress.bound or selected(member.labels, progress.selectors):
            names.append(member.name)
            if before is None or not (place < before.bound or selected(member.labels, before.selectors)):
                joining.append(member.name)
    return Admitted(names=names, joining=frozenset(joining))


class Plans:
    """Plans by fleet, name and attempt; for one process that leads."""

    def __init__(self) -> None:
        """Nothing is kept before it is asked for."""
        self._kept: OrderedDict[tuple[str, str, int], Plan] = OrderedDict()

    def of(self, asked: Asked, members: Callable[[], Sequence[Member]], now: datetime, *, anew: bool) -> Plan:
        """Return a plan; `members` is asked only where none is kept, or it is old, or `anew` is."""
        place = (asked.fleet, asked.name, asked.attempt)
        plan = self._kept.get(place)
        if anew or plan is None or plan.asked != asked or not plan.made_at <= now < plan.until:
            plan = self._kept[place] = _made(plan, asked, members, now)
        self._kept.move_to_end(place)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return plan


def _made(before: Plan | None, asked: Asked, members: Callable[[], Sequence[Member]], now: datetime) -> Plan:
    began = time.perf_counter()
    found = members()
    if before is not None and before.asked == asked and found == before.members:
        return replace(before, made_at=now, until=now + (before.until - before.made_at))
    planned = waves(asked.strategy, found, candidate=asked.name, attempt=asked.attempt)
    rests = timedelta(seconds=REST_FACTOR * (time.perf_counter() - began))
    return Plan(asked=asked, members=found, waves=planned, made_at=now, until=now + rests)
