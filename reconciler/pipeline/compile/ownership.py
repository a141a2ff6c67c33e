"""What two fleets of one host both own: a path or a process can have one owner only, whichever fleet moves first."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.claims import clashes, owned
from reconciler.pipeline.compile.expansion import Instance, expand
from reconciler.pipeline.compile.findings import across, named
from reconciler.pipeline.compile.groups import selected
from reconciler.pipeline.compile.index import FLEET, MEMBER, Index, Pair
from reconciler.pipeline.compile.making import parts_of
from reconciler.pipeline.compile.parts import Field, Part
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import Document


def neighbours(world: World, key: FleetKey, members: AbstractSet[str]) -> Iterator[tuple[str, AbstractSet[str]]]:
    """Yield (fleet, shared members) of the other fleets of a tenant that have a member in common with one."""
    tenant, name = key
    index = world.tenant(tenant)
    for pair in _pairs_in_common(index, members):
        for other in index.selecting[pair]:
            document = index.get(FLEET, other)
            if other != name and document is not None:
                shared = members & selected(index, manifest.selector(document))
                if shared:
                    yield other, shared


def _pairs_in_common(index: Index, members: AbstractSet[str]) -> Iterator[Pair | None]:
    """Yield the labels by which fleets are selected and which a member carries, from whichever side there is less to look at."""
    if not members:
        return
    if len(members) < len(index.selecting):
        carried = {pair for name in members for pair in manifest.labels(index.of(MEMBER)[name][0]).items()}
        yield from ({None, *carried} & index.selecting.keys())
        return
    for pair in index.selecting:
        if pair is None or not members.isdisjoint(index.labelled.get(pair, frozenset())):
            yield pair


def conflicts(
    world: World, key: FleetKey, mine: Mapping[str, Part], members: AbstractSet[str]
) -> Iterator[tuple[str, AbstractSet[str], list[tuple[Part, Part]]]]:
    """Yield (other fleet, shared members, clashing parts) of each fleet that owns what a fleet's own parts do.

    Paths and names don't depend on parameters, so fleets of the same components are compared once: a baseline meets thousands of them.
    """
    tenant, _ = key
    known: dict[tuple[int, ...], list[tuple[Part, Part]]] = {}
    for other, shared in neighbours(world, key, members):
        fleet = world.fleet((tenant, other))
        instances = expand(world, tenant, fleet).instances if fleet is not None else {}
        components = tuple(id(instance.document) for instance in instances.values())
        if components not in known:
            known[components] = list(clashes(mine, owned_by(instances)))
        if known[components]:
            yield other, shared, known[components]


def owned_by(instances: Mapping[str, Instance]) -> dict[str, Part]:
    """Return what components own on each host; groups and modes never differ in it."""
    return owned(parts_of((ref, instance.document) for ref, instance in instances.items()))


def check_ownership(
    world: World, key: FleetKey, parts: Mapping[Field, Iterable[Part]], members: Mapping[str, Document]
) -> Iterator[Finding]:
    """Yield what a fleet owns that another fleet of one of its hosts owns too; both findings are one and the same."""
    tenant, name = key
    for other, shared, found in conflicts(world, key, owned(parts), members.keys()):
        hosts = [members[member] for member in sorted(shared)]
        for part, rival in found:
            sides = sorted(((name, part), (other, rival)), key=lambda side: side[0])
            yield _conflict(world, tenant, sides, hosts)


def _conflict(world: World, tenant: str, sides: list[tuple[str, Part]], hosts: list[Document]) -> Finding:
    (first, one), (second, two) = sides
    on = named([host.name.name for host in hosts if host.name is not None])
    both = one.claim if one.claim == two.claim else f"{one.claim} and {two.claim}, one in the other,"
    claimed = "path" if "path" in (one.claimed, two.claimed) else "name"
    message = f"fleets {first} and {second} both own {both} on {on} (components {one.ref} and {two.ref})"
    fleets = [document for side in (first, second) if (document := world.fleet((tenant, side))) is not None]
    also: list[Place | Document] = [one.place(one.claimed), *fleets, *hosts]
    return across(
        f"{claimed}-conflict",
        two.document,
        two.at(two.claimed),
        message,
        remedy=f"leave the {claimed} to one fleet, or keep the hosts out of one of them",
        also=also,
        fleets=(f"{tenant}/{first}", f"{tenant}/{second}"),
    )
