"""What two fleets of one host both own: a path can have one owner only, whichever fleet moves first."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.expansion import expand
from reconciler.pipeline.compile.findings import across, named
from reconciler.pipeline.compile.groups import selected
from reconciler.pipeline.compile.index import FLEET
from reconciler.pipeline.compile.parts import Field, Part, clashes, owned, parts_of
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import Document


def neighbours(world: World, key: FleetKey, members: AbstractSet[str]) -> Iterator[tuple[str, AbstractSet[str]]]:
    """Yield (fleet, shared members) of the other fleets of a tenant that have a member in common with one."""
    tenant, name = key
    index = world.tenant(tenant)
    for pair, fleets in index.selecting.items():
        carrying = members if pair is None else index.labelled.get(pair, frozenset())
        if members.isdisjoint(carrying):
            continue
        for other in fleets:
            document = index.get(FLEET, other)
            if other != name and document is not None:
                shared = members & selected(index, manifest.selector(document))
                if shared:
                    yield other, shared


def owned_by(world: World, key: FleetKey) -> dict[str, Part]:
    """Return the paths that a fleet owns on each of its hosts; groups and modes never differ in them."""
    document = world.fleet(key)
    if document is None:
        return {}
    instances = expand(world, key[0], document).instances
    return owned(parts_of((ref, instance.document) for ref, instance in instances.items()))


def check_ownership(
    world: World, key: FleetKey, parts: Mapping[Field, Iterable[Part]], members: Mapping[str, Document]
) -> Iterator[Finding]:
    """Yield the paths of a fleet that another fleet of one of its hosts owns too; both findings are one and the same."""
    tenant, name = key
    mine = owned(parts)
    for other, shared in sorted(neighbours(world, key, members.keys()), key=lambda found: found[0]):
        theirs = owned_by(world, (tenant, other))
        hosts: list[Document] | None = None
        for part, rival in clashes(mine, theirs):
            hosts = [members[member] for member in sorted(shared)] if hosts is None else hosts
            sides = sorted(((name, part), (other, rival)), key=lambda side: side[0])
            yield _conflict(world, tenant, sides, hosts)


def _conflict(world: World, tenant: str, sides: list[tuple[str, Part]], hosts: list[Document]) -> Finding:
    (first, one), (second, two) = sides
    on = named([host.name.name for host in hosts if host.name is not None])
    both = one.path if one.path == two.path else f"{one.path} and {two.path}, one below the other,"
    message = f"fleets {first} and {second} both own {both} on {on} (components {one.ref} and {two.ref})"
    fleets = [document for side in (first, second) if (document := world.fleet((tenant, side))) is not None]
    also: list[Place | Document] = [one.place("path"), *fleets, *hosts]
    return across(
        "path-conflict",
        two.document,
        (*two.pointer, "path"),
        message,
        remedy="leave the path to one fleet, or keep the hosts out of one of them",
        also=also,
        fleets=(f"{tenant}/{first}", f"{tenant}/{second}"),
    )
