"""Who is in a fleet before and after, by the state that each would run: all that is compared is compared once for each pair of groups."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.plan.shape import Hosts, Move

NAMES_LIMIT = 10
"""Names listed of a set of hosts, unless all are asked for: what one line holds."""

Groups = tuple[str | None, str | None]
"""A host's group before and after; None where it is not in the fleet, or the fleet has no release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The members of a fleet on both sides: names by their groups before and after, and how many hosts each name stands for."""

    by_groups: Mapping[Groups, tuple[str, ...]]
    weights: Mapping[str, int]
    pools: frozenset[str]
    limit: int | None = NAMES_LIMIT

    def hosts(self, names: Iterable[str]) -> Hosts:
        """Return some of them as they are shown, in order of name."""
        ordered = sorted(names)
        shown = tuple(f"{name}/*" if name in self.pools else name for name in ordered[: self.limit])
        return Hosts(count=self.count(ordered), names=shown, more=len(ordered) - len(shown))

    def count(self, names: Iterable[str]) -> int:
        """Return how many hosts some names stand for."""
        return sum(self.weights.get(name, 1) for name in names)

    def joining(self) -> list[str]:
        """Return who gets into the fleet."""
        return [name for (old, _), names in self.by_groups.items() if old is None for name in names]

    def leaving(self) -> list[str]:
        """Return who gets out of it."""
        return [name for (_, new), names in self.by_groups.items() if new is None for name in names]

    def staying(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Yield (group before, group after, names) of those who are in it on both sides."""
        for (old, new), names in self.by_groups.items():
            if old is not None and new is not None:
                yield old, new, names


def crowd(old: Compiled | None, new: Compiled | None, *, limit: int | None = NAMES_LIMIT) -> Crowd:
    """Return the members of a fleet on both sides."""
    before, after = groups_of(old), groups_of(new)
    by_groups: dict[Groups, list[str]] = {}
    for name in before.keys() | after.keys():
        by_groups.setdefault((before.get(name), after.get(name)), []).append(name)
    sides = [side for side in (old, new) if side is not None]
    return Crowd(
        by_groups={groups: tuple(sorted(names)) for groups, names in sorted(by_groups.items(), key=str)},
        weights={name: maximum for side in sides for name, maximum in side.maximum.items()},
        pools=frozenset(name for side in sides for name in side.pools),
        limit=limit,
    )


def groups_of(compiled: Compiled | None) -> dict[str, str]:
    """Return the group of each member, pools by their own names."""
    members = {**compiled.pools, **compiled.agents} if compiled is not None else {}
    return {name: member.group for name, member in members.items()}


def moves(crowds: Mapping[tuple[str, str], Crowd]) -> list[Move]:
    """Return the hosts that leave fleets of a tenant and get into others, in order."""
    left: dict[tuple[str, str], list[str]] = {}
    joined: dict[tuple[str, str], list[str]] = {}
    for (tenant, fleet), each in sorted(crowds.items()):
        for names, found in ((each.leaving(), left), (each.joining(), joined)):
            for name in names:
                found.setdefault((tenant, name), []).append(fleet)
    return [
        Move(tenant=tenant, host=host, left=tuple(left[tenant, host]), joined=tuple(joined[tenant, host]))
        for tenant, host in sorted(left.keys() & joined.keys())
    ]
