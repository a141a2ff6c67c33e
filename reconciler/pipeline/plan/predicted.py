"""Waves of a release that is not there yet, by the functions that will run them: `rollouts.waves`, fed as the control zone will be.

What controls would say of the fleet and its freezes is taken from the manifests in the very form that controls have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypedDict

from agent.protocol.errors import MalformedError
from agent.protocol.membership import Member as Listed
from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.controls import fleet_controls
from reconciler.pipeline.compile.index import FREEZE
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.plan.hosts import Crowd, groups_of
from reconciler.pipeline.plan.shape import Wave
from reconciler.publication.times import instant, stamp
from reconciler.rollouts import waves as rollouts
from reconciler.rollouts.strategy import strategy_of
from reconciler.rollouts.windows import Freeze

FIRST_ATTEMPT = 1


class Prediction(TypedDict):
    """The fields of a planned fleet that are predicted."""

    waves: tuple[Wave, ...]
    at_once: bool


def predicted(
    key: FleetKey, world: World, old: Compiled | None, new: Compiled, who: Crowd, *, hit: frozenset[str], now: datetime
) -> Prediction:
    """Return the waves in which a fleet's release would go out, none where it is at once or there is nothing new.

    A release of the same bundle that moves nobody who was there to another group is stable at once.
    """
    before = groups_of(old)
    if not new.agents and not new.pools:
        return Prediction(waves=(), at_once=False)
    if old is not None and old.digest == new.digest and all(before.get(name, group) == group for name, group in groups_of(new).items()):
        return Prediction(waves=(), at_once=old.agents != new.agents or old.pools != new.pools)
    try:
        strategy = strategy_of(fleet_controls(new.document)["rollout"])
    except MalformedError:  # a finding of its own says so, and such a release is never approved
        return Prediction(waves=(), at_once=False)
    members = [*_members(new.agents), *_members(new.pools, new.maximum)]
    found = rollouts.waves(strategy, members, candidate=new.digest, attempt=FIRST_ATTEMPT)
    timed = rollouts.timed(found, strategy, after=now, freezes=tuple(freezes_of(world, key)))
    return Prediction(waves=tuple(_wave(one, who, hit) for one in timed), at_once=False)


def freezes_of(world: World, key: FleetKey) -> Iterator[Freeze]:
    """Yield the freezes that name a fleet, in order of name."""
    tenant, fleet = key
    for name, found in sorted(world.tenant(tenant).of(FREEZE).items()):
        spec = found[0].spec
        if fleet in (spec.get("fleets") or ()):
            try:
                start, until = (instant(str(spec.get(field)), what=f"freeze {name}") for field in ("from", "until"))
            except MalformedError:  # its schema refuses it
                continue
            yield Freeze(name=name, start=start, until=until)


def _members(listed: Mapping[str, Listed], maximum: Mapping[str, int] | None = None) -> Iterator[rollouts.Member]:
    for name, member in listed.items():
        count = 1 if maximum is None else maximum.get(name, 0)
        yield rollouts.Member(name=name, labels=member.labels, count=count, pool=maximum is not None)


def _wave(one: rollouts.Timed, who: Crowd, hit: frozenset[str]) -> Wave:
    wave, step = one.wave, one.wave.step
    return Wave(
        name=step.name,
        hosts=replace(who.hosts(wave.joining), count=wave.size),
        hit=sum(count for name, count in wave.joining.items() if name in hit),
        total=wave.reached,
        limit="" if step.limit is None else f"{step.limit / 1000:g}%",
        selector=dict(step.selector or {}),
        soak=step.soak,
        approval=step.approval,
        earliest=stamp(one.start.at),
        waits_for=one.start.reason,
        implied=step.implied,
    )
