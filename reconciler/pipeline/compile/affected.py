"""Which fleets a change reaches, found through the indexes of the world before and after: the cost follows the change."""

from collections.abc import Collection, Iterator

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.expansion import expand
from reconciler.pipeline.compile.groups import members_of
from reconciler.pipeline.compile.index import COMPONENT, FLEET, MEMBER, TENANT, Index, claim_of
from reconciler.pipeline.compile.manifest import LIBRARY_PREFIX
from reconciler.pipeline.compile.ownership import conflicts, owned_by
from reconciler.pipeline.compile.tenancy import quota
from reconciler.pipeline.compile.world import LIBRARY, FleetKey, World, has_tenant_manifest, home_of, tenant_of
from reconciler.pipeline.manifests import Document


def affected(old: World, new: World, touched: Collection[str]) -> set[FleetKey]:
    """Return the fleets whose result or findings a change of these paths can change, removed and added ones too."""
    if _read_differently(old, new):
        return {*old.fleets(), *new.fleets()}
    reached, reshaped = set[FleetKey](), set[FleetKey]()
    for path in touched:
        for world, document in _changed(old, new, path):
            fleets = fleets_of(world, document)
            reached.update(fleets)
            if claim_of(document)[0] in (FLEET, COMPONENT):
                reshaped.update(fleets)
        reached.update(key for world in (old, new) for key in _fleets_of_source(world, path))
    for tenant in {*old.tenants, *new.tenants}:
        if has_tenant_manifest(old, tenant) != has_tenant_manifest(new, tenant) or _quota_of(old, tenant) != _quota_of(new, tenant):
            reached.update((tenant, name) for world in (old, new) for name in world.tenant(tenant).of(FLEET))
    return reached | {rival for world in (old, new) for key in reshaped for rival in _rivals(world, key)}


def _quota_of(world: World, tenant: str) -> int:
    """Return how large a bundle of a tenant may be: what decides whether its fleets compile."""
    return quota(world.tenant(tenant), tenant, "bundleBytes")


def _changed(old: World, new: World, path: str) -> Iterator[tuple[World, Document]]:
    """Yield what a file no longer says, and what it says now, each with its world."""
    before, after = old.at(path), new.at(path)
    yield from ((old, document) for document in before if not _stands_in(document, after))
    yield from ((new, document) for document in after if not _stands_in(document, before))


def _read_differently(old: World, new: World) -> bool:
    def stated(world: World) -> object:
        return world.repository.spec.get("format") if world.repository is not None else None

    return old.layout != new.layout or stated(old) != stated(new)


def _stands_in(document: Document, others: Collection[Document]) -> bool:
    return any(document is other or (document.index == other.index and document.value == other.value) for other in others)


def fleets_of(world: World, document: Document) -> set[FleetKey]:
    """Return the fleets of a world that a document has a part in: as itself, a member, a component, or the Tenant."""
    tenant = tenant_of(world, document)
    space, name = claim_of(document)
    if space == FLEET:
        return {(tenant, name)}
    if space == MEMBER:
        return {(tenant, fleet) for fleet in fleets_selecting(world.tenant(tenant), manifest.labels(document))}
    if space == COMPONENT:
        return fleets_using(world, tenant, name)
    return set()


def fleets_selecting(index: Index, labels: dict[str, str]) -> set[str]:
    """Return the names of a tenant's fleets that select a member with these labels."""
    candidates = {name for pair in (None, *labels.items()) for name in index.selecting.get(pair, ())}
    return {name for name in candidates if _selects(index.get(FLEET, name), labels)}


def _selects(fleet: Document | None, labels: dict[str, str]) -> bool:
    return fleet is not None and manifest.selector(fleet).items() <= labels.items()


def fleets_using(world: World, tenant: str, name: str) -> set[FleetKey]:
    """Return the fleets that a component of a tenant (or of the library) is part of, through includes too."""
    found = set[FleetKey]()
    seen = set[tuple[str, str]]()
    waiting = [(tenant, name)]
    while waiting:
        owner, component = waiting.pop()
        if (owner, component) in seen:
            continue
        seen.add((owner, component))
        ref = component if owner != LIBRARY else LIBRARY_PREFIX + component
        for user_tenant in [owner] if owner != LIBRARY else world.tenants:
            for space, user in world.tenant(user_tenant).users.get(ref, ()):
                if space == FLEET:
                    found.add((user_tenant, user))
                else:
                    waiting.append((user_tenant, user))
    return found


def components_of_source(world: World, path: str) -> Iterator[tuple[str, str]]:
    """Yield (tenant or library, component) of each component that takes a file's content from this path."""
    home = home_of(path, world.layout)  # a source lies below its manifest, so in the same tenant
    if home is not None:
        for name in world.tenant(home).sources.get(path, ()):
            yield home, name


def _fleets_of_source(world: World, path: str) -> set[FleetKey]:
    return {key for tenant, name in components_of_source(world, path) for key in fleets_using(world, tenant, name)}


def _rivals(world: World, key: FleetKey) -> Iterator[FleetKey]:
    """Yield the fleets that own a path of this one on a host of this one: fixing one of them frees the other.

    Only another selector or other components make rivals or end them: a host that joins or leaves reaches all its fleets.
    """
    tenant, _ = key
    fleet = world.fleet(key)
    if fleet is not None:
        mine = owned_by(expand(world, tenant, fleet).instances)
        for other, _shared, _found in conflicts(world, key, mine, members_of(world, tenant, fleet).keys()):
            yield tenant, other


def depends_of(world: World, fleet: FleetKey) -> frozenset[str]:
    """Return the files whose change can change a fleet, as far as they are known, whether it compiles or not.

    Among them are sources that the tree doesn't have; a component that doesn't exist has no file.
    """
    tenant, _ = fleet
    document = world.fleet(fleet)
    if document is None:
        return frozenset()
    index = world.tenant(tenant)
    found = {document.path}
    found.update(member.path for member in members_of(world, tenant, document).values())
    found.update(one.path for one in index.of(TENANT).get(tenant, ()))
    for instance in expand(world, tenant, document).instances.values():
        found.add(instance.document.path)
        found.update(manifest.sources(instance.document))
    return frozenset(found)
