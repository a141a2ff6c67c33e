"""Fleets that go after others (`rollout.after`): each names fleets that there are, and nobody waits for itself in the end."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across, did_you_mean
from reconciler.pipeline.compile.index import FLEET, Index
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document

POINTER = ("spec", "rollout", "after")


def after(fleet: Document) -> Sequence[str]:
    """Return the fleets that go before a fleet."""
    stated = manifest.mapping(fleet.spec.get("rollout")).get("after")
    return [name for name in manifest.sequence(stated) if isinstance(name, str)]


def check_turns(world: World) -> Iterator[Finding]:
    """Yield a warning for each name of no fleet, since its rollouts wait until there is one; and a refusal for each circle."""
    for tenant in world.names:
        index = world.tenant(tenant)
        turns = {name: after(found[0]) for name, found in index.of(FLEET).items()}
        waiting = {name: before for name, before in turns.items() if before}
        yield from _unknown(index, tenant, waiting)
        for circle in _circles(waiting):
            first, *others = [index.of(FLEET)[name][0] for name in circle]
            message = f"{' waits for '.join([*circle, circle[0]])}: none of them would ever get a release"
            yield across("after-circle", first, POINTER, message, remedy="take one of the names out of after", also=others)


def in_turn(fleets: Mapping[FleetKey, Document]) -> list[FleetKey]:
    """Return fleets in the order in which they are to be approved: those that go first, first.

    A fleet that goes after another is held by what is approved for that one, so nothing of its own may be there before. Fleets in a
    circle, which no change brings in, are taken by name.
    """
    names = sorted(fleets)
    order = TopologicalSorter({key: [(key[0], name) for name in after(fleets[key])] for key in names})
    with suppress(CycleError):
        return [key for key in order.static_order() if key in fleets]
    return names


def _unknown(index: Index, tenant: str, waiting: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    known = index.of(FLEET)
    for fleet, before in sorted(waiting.items()):
        for position, name in enumerate(before):
            if name not in known:
                so = "so rollouts of this one wait until there is"
                message = f"there is no fleet {name} in tenant {tenant}, {so}; {did_you_mean(name, known)}"
                remedy = "correct the name, or remove it"
                yield across("unknown-fleet", known[fleet][0], (*POINTER, position), message, remedy=remedy, action="warn")


def _circles(waiting: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the circles, each from its first name on; of those that share a fleet one, since ending it may end the others."""
    done: set[str] = set()
    found: list[tuple[str, ...]] = []
    for start in sorted(waiting):
        path: list[str] = []
        ahead = [iter([start])]
        while ahead:
            name = next(ahead[-1], None)
            if name is None:
                ahead.pop()
                done.update(path[-1:])
                del path[-1:]
            elif name in path:
                circle = path[path.index(name) :]
                turn = circle.index(min(circle))
                found.append((*circle[turn:], *circle[:turn]))
            elif name in waiting and name not in done:
                path.append(name)
                ahead.append(iter(waiting[name]))
    return sorted(set(found))
