"""How many hosts apply at once (`maxUnavailable`): within a wave the bound rises step by step, and names are held back below it.

A host that was let go counts as unavailable until it has applied the release and is well. Whoever was let go is never held again. Hosts
that are away wait for their return, or for the end of the rollout: letting them go would break the bound on the day they come back.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.protocol.rollout import BOUND_ALL, HELD_LIMIT
from reconciler.rollouts.strategy import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A host of a wave: `selected` by its labels, or by its `slot` alone; `let` go before, `there` now, `well` with the release."""

    name: str
    labels: Mapping[str, str]
    slot: int
    selected: bool
    let: bool
    there: bool
    well: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Whom the rollout document lets go: up to `bound`, but not the `held`; `waiting` are those that are there and must wait.

    `too_many` is how many would have to be held by name where that is more than a document holds, else 0.
    """

    bound: int
    held: tuple[str, ...]
    waiting: int
    went: int
    too_many: int = 0


def pace(limit: Unavailable, hosts: Sequence[Placed], sizes: Mapping[str, int], *, bound: int, most: int) -> Pace:
    """Return how far a wave may go now; `hosts` are all that it reaches, `sizes` how many hosts have each value of the label.

    `bound` is what stands in the document, `most` what the wave may have in the end.
    """
    order = sorted(hosts, key=lambda one: (not one.selected, one.slot, one.name))
    busy = Counter(_value(limit, one) for one in order if one.let and not one.well)
    going: set[str] = set()
    for one in order:
        value = _value(limit, one)
        if not one.let and one.there and busy[value] < limit.most(sizes.get(value, 0)):
            busy[value] += 1
            going.add(one.name)
    staying = [one for one in order if not one.let and one.name not in going]
    selected = [one.name for one in staying if one.selected]
    if len(selected) > HELD_LIMIT:
        return Pace(bound=bound, held=(), waiting=len(staying), went=0, too_many=len(selected))
    rest = [one for one in staying if not one.selected]
    room = HELD_LIMIT - len(selected)
    reached = max(bound, min(most, rest[room].slot if len(rest) > room else BOUND_ALL))
    held = (*selected, *(one.name for one in rest if one.slot < reached))
    out = {one.name for one in order if not one.let and not one.selected and one.slot >= reached} | set(held)
    waiting = sum(one.there for one in order if one.name in out)
    return Pace(bound=reached, held=tuple(sorted(held)), waiting=waiting, went=len(going - out))


def _value(limit: Unavailable, one: Placed) -> str:
    return one.labels.get(limit.label, "") if limit.label else ""


def told(limit: Unavailable, waiting: int) -> str:
    """Return in words that hosts wait for others."""
    most = f"{limit.count}" if limit.count is not None else f"{(limit.share or 0) / 1000:g} %"
    of = f" of each {limit.label}" if limit.label else ""
    return f"{waiting} hosts wait for others: at most {most}{of} apply at once"
