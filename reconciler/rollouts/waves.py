"""Who is in which wave: one pure function, by which waves are predicted and run.

What a wave comes to is a selector and a bound, as the rollout document holds them; hosts decide for themselves by the same slot.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agent.protocol.rollout import BOUND_ALL, matches, selected, slot
from reconciler.rollouts.strategy import WHOLE, Step, Strategy
from reconciler.rollouts.windows import Freeze, Start, earliest


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A host of the candidate's members, with its signed labels.

    A pool of which nobody knows the hosts yet stands as one member with `count` of them: their names, and so their slots, are
    not known, so as many count as within a bound as is likely. The control zone, which knows them, passes each as `<pool>/<id>`.
    """

    name: str
    labels: Mapping[str, str]
    count: int = 1
    pool: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """One wave: `selectors` and `bound` go into the rollout document, both cumulative.

    `joining` are the members that it newly reaches, each with how many hosts (a pool may be reached in several waves);
    `reached` counts all hosts that have the candidate when it is done, `chosen` those that the wave's own labels select.
    """

    step: Step
    selectors: tuple[Mapping[str, str], ...]
    bound: int
    joining: Mapping[str, int]
    reached: int
    chosen: int = 0

    @property
    def size(self) -> int:
        """How many hosts it newly reaches."""
        return sum(self.joining.values())

    @property
    def is_empty(self) -> bool:
        """Whether it was meant for hosts that aren't there: then nobody proves anything, and it holds."""
        return not self.size and self.step.limit is None and not self.chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A wave and when it may start at the earliest."""

    wave: Wave
    start: Start


def waves(
    strategy: Strategy, members: Sequence[Member], *, candidate: str, attempt: int = 1, held: Collection[str] = ()
) -> tuple[Wave, ...]:
    """Return the waves of one attempt of a candidate (its digest), one for each step, those that reach nobody new too.

    A step's bound is the smallest that lets as many hosts have the candidate as its limit says, rounded up, those selected by
    labels among them; it never falls. At 100 % it admits everybody, hosts that nobody knows yet among them. `held` stay where
    they are, and make no difference to bounds: else letting one go would let others in.
    """
    slots = _Slots(members, candidate, attempt)
    made: list[Wave] = []
    selectors: tuple[Mapping[str, str], ...] = ()
    reach = slots.of(selectors)
    bound, before = 0, dict[str, int]()
    total = sum(member.count for member in members)
    for step in strategy.steps:
        if step.selector is not None and step.selector not in selectors:
            selectors = (*selectors, step.selector)
            reach = slots.of(selectors)
        bound = max(bound, 0 if step.limit is None else reach.bound(step.limit, total))
        after = {name: count for name, count in reach.admitted(bound).items() if name not in held}
        joining = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
        chosen = 0 if step.selector is None else sum(one.count for one in members if matches(one.labels, step.selector))
        made.append(Wave(step=step, selectors=selectors, bound=bound, joining=joining, reached=sum(after.values()), chosen=chosen))
        before = after
    return tuple(made)


def next_wave(planned: Sequence[Wave], last: int) -> int | None:
    """Return the wave after the `last` one (-1 for none): one that reaches somebody new, whose labels nobody has, or the implied end.

    None where all that is left reaches nobody: those are passed over.
    """
    for index in range(last + 1, len(planned)):
        if planned[index].size or planned[index].step.implied or planned[index].is_empty:
            return index
    return None


def timed(planned: Sequence[Wave], strategy: Strategy, *, after: datetime, freezes: Sequence[Freeze] = ()) -> tuple[Timed, ...]:
    """Return each wave with its earliest start, if all goes well and whoever must approve does so at once.

    A wave that reaches nobody new takes no time. A wave starts when the one before has soaked, in a window, and not while frozen.
    """
    found: list[Timed] = []
    moment, waited = after, ""
    for wave in planned:
        if not wave.size:
            found.append(Timed(wave=wave, start=Start(at=moment, reason=waited)))
            continue
        start = earliest(strategy.windows, freezes, moment)
        found.append(Timed(wave=wave, start=replace(start, reason=start.reason or waited)))
        moment = start.at + timedelta(seconds=wave.step.soak)
        waited = "soak" if wave.step.soak else ""
    return tuple(found)


class _Slots:
    """Members with their slots, reckoned once for all waves of an attempt."""

    def __init__(self, members: Sequence[Member], candidate: str, attempt: int) -> None:
        self._members = [(member, -1 if member.pool else slot(candidate, attempt, member.name)) for member in members]

    def of(self, selectors: Sequence[Mapping[str, str]]) -> "_Reach":
        chosen = {member.name: member.count for member, _ in self._members if selected(member.labels, selectors)}
        rest = [(place, member) for member, place in self._members if member.name not in chosen]
        return _Reach(chosen=chosen, rest=rest)


class _Reach:
    """Whom a bound admits, besides those whom labels select."""

    def __init__(self, *, chosen: dict[str, int], rest: Sequence[tuple[int, Member]]) -> None:
        self._chosen = chosen
        self._sure = sum(chosen.values())
        self._hosts = sorted(((place, member.name) for place, member in rest if not member.pool))
        self._pools = [member for _, member in rest if member.pool]

    def bound(self, limit: int, total: int) -> int:
        """Return the smallest bound that admits `limit` (thousandths of a per cent) of `total`, rounded up."""
        wanted = -(-limit * total // WHOLE)
        return BOUND_ALL if limit == WHOLE else bisect_left(range(BOUND_ALL), wanted, key=self._count)

    def _count(self, bound: int) -> int:
        hosts = bisect_left(self._hosts, (bound, ""))
        return self._sure + hosts + sum(_share(pool, bound) for pool in self._pools)

    def admitted(self, bound: int) -> dict[str, int]:
        """Return the members that a bound admits, each with how many hosts, in order of name."""
        hosts = {name: 1 for _, name in self._hosts[: bisect_left(self._hosts, (bound, ""))]}
        pools = {pool.name: share for pool in self._pools if (share := _share(pool, bound))}
        return dict(sorted({**self._chosen, **hosts, **pools}.items()))


def _share(pool: Member, bound: int) -> int:
    """Return how many of a pool's hosts are likely to be within a bound."""
    return pool.count * bound // BOUND_ALL
