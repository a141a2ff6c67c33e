"""Paths that go from one fleet to another: the new owner takes over in place, once the old one has let go on that host.

No two fleets may own a path on one host. So where one had it before and another has it after, on a host that was in the one and
is in the other, it is handed over.
"""

from collections.abc import Iterator

from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.findings import named
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.plan.sides import Sides


def handovers(sides: Sides) -> Iterator[tuple[FleetKey, str]]:
    """Yield (fleet, what is to be said of it) for each fleet that gets paths which another had, on hosts that were in that one."""
    had = {key: (_members(one), _paths(one)) for key, one in sides.old.items()}
    for key, new in sorted(sides.new.items()):
        members, paths = _members(new), _paths(new)
        for other, (before, owned) in sorted(had.items()):
            shared = paths & owned
            if other != key and other[0] == key[0] and shared and not members.isdisjoint(before):
                shown = named(sorted(shared))
                yield key, f"takes over {shown} from fleet {other[1]} in place: each host waits until that one's release there has let go"


def _paths(compiled: Compiled) -> frozenset[str]:
    """Return the paths that a fleet owns; they are the same in all its groups."""
    state = next((group.base for group in compiled.bundle.groups.values()), None)
    if state is None:
        return frozenset()
    return frozenset(file.path for file in state.files) | {artifact.path for artifact in state.artifacts}


def _members(compiled: Compiled) -> frozenset[str]:
    return frozenset((*compiled.agents, *compiled.pools))
