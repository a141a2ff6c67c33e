"""All findings across documents: of a whole world, of what a change can have touched, or of one fleet.

Denies have scope "across": `also` names every file involved, `missing` the objects that are absent, `fleets` those that
can't be compiled because of it. Nothing stops at the first.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.affected import affected, components_of_source, fleets_of, fleets_using
from reconciler.pipeline.compile.assembly import Assembly, Components, assemble
from reconciler.pipeline.compile.claims import check_parts
from reconciler.pipeline.compile.commands import check_staged
from reconciler.pipeline.compile.expansion import Expansion, expand
from reconciler.pipeline.compile.findings import across, did_you_mean, merged
from reconciler.pipeline.compile.index import COMPONENT, FLEET, FREEZE, claim_of, space_of
from reconciler.pipeline.compile.making import parts_of
from reconciler.pipeline.compile.manifest import LIBRARY_PREFIX
from reconciler.pipeline.compile.parameters import check_uses
from reconciler.pipeline.compile.placement import check_duplicates, check_placement
from reconciler.pipeline.compile.secrets import check_declared
from reconciler.pipeline.compile.tenancy import check_fleets, check_quotas
from reconciler.pipeline.compile.texts import texts_of
from reconciler.pipeline.compile.turns import check_turns
from reconciler.pipeline.compile.world import LIBRARY, FleetKey, World, tenant_of
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.tree import Tree


def check(
    world: World,
    tree: Tree,
    *,
    since: World | None = None,
    touched: Collection[str] = (),
    assembled: dict[FleetKey, Assembly] | None = None,
) -> list[Finding]:
    """Return all findings across documents, in order of place.

    With `since` (a world whose findings are known) components and fleets are looked at only where a change of the touched
    paths can have brought, changed or ended a finding; names, tenants, freezes and waivers are always looked at.
    The fleets that are looked at are left in `assembled`, to be compiled from there.
    """
    assembled = {} if assembled is None else assembled
    parts = Components(tree)
    fleets = sorted(world.fleets()) if since is None else sorted(affected(since, world, touched))
    components = set(_components(world)) if since is None else _touched_components(since, world, touched)
    left = components if since is None else components | _used_before(since, touched)
    findings = [
        *check_placement(world),
        *check_duplicates(world),
        *(finding for tenant, name in sorted(components) for finding in _check_component(world, parts, tenant, name)),
        *(finding for key in fleets if world.fleet(key) is not None for finding in _assembled(assembled, world, tree, key, parts).findings),
        *_check_mentions(world),
        *check_fleets(world),
        *check_quotas(world, since, touched),
        *check_turns(world),
        *(finding for tenant, name in sorted(left) for finding in _check_used(world, tenant, name)),
    ]
    return merged(_with_fleets(world, finding) for finding in findings)


def _assembled(assembled: dict[FleetKey, Assembly], world: World, tree: Tree, key: FleetKey, components: Components) -> Assembly:
    assembled[key] = assemble(world, tree, key, components)
    return assembled[key]


def _components(world: World) -> Iterator[tuple[str, str]]:
    return ((tenant, name) for tenant, index in world.tenants.items() for name in index.of(COMPONENT))


def _touched_components(old: World, new: World, touched: Collection[str]) -> set[tuple[str, str]]:
    """Return components in or around the touched files: their own, those with a touched source, and all who include them."""
    waiting: list[tuple[str, str]] = []
    for world in (old, new):
        for path in touched if world.tenants else ():
            waiting.extend(components_of_source(world, path))
            for document in world.at(path):
                space, name = claim_of(document)
                if space == COMPONENT:
                    waiting.append((tenant_of(world, document), name))
    found = set[tuple[str, str]]()
    while waiting:
        tenant, name = waiting.pop()
        if (tenant, name) not in found:
            found.add((tenant, name))
            waiting.extend(_includers(new, tenant, name))
    return {(tenant, name) for tenant, name in found if new.tenant(tenant).get(COMPONENT, name) is not None}


def _includers(world: World, tenant: str, name: str) -> Iterator[tuple[str, str]]:
    ref = LIBRARY_PREFIX + name if tenant == LIBRARY else name
    for owner in world.tenants if tenant == LIBRARY else [tenant]:
        for space, user in world.tenant(owner).users.get(ref, ()):
            if space == COMPONENT:
                yield owner, user


def _check_component(world: World, components: Components, tenant: str, name: str) -> Iterable[Finding]:
    component = world.tenant(tenant).get(COMPONENT, name)
    if component is None:
        return
    expansion = expand(world, tenant, component)
    fleets = frozenset("/".join(key) for key in fleets_using(world, tenant, name))
    # What fails in an include further down is said when that component has its turn.
    near = (finding for finding in expansion.findings if _concerns(finding, component))
    for finding in (*near, *components.findings(component), *_check_whole(tenant, name, component, expansion, components.tree)):
        yield replace(finding, fleets=finding.fleets | fleets) if finding.action == "deny" else finding


def _check_whole(tenant: str, name: str, component: Document, expansion: Expansion, tree: Tree) -> Iterator[Finding]:
    """Yield what is wrong with a component and its includes together, whether or not a fleet uses them."""
    own = LIBRARY_PREFIX + name if tenant == LIBRARY else name
    parts = parts_of([*((ref, instance.document) for ref, instance in expansion.instances.items()), (own, component)])
    yield from check_uses(expansion)
    yield from check_parts(component, parts)
    if not expansion.findings:  # else the path may come from an include that is missing
        yield from check_staged(component, parts)
        yield from check_declared(component, texts_of(component, tree), parts["secrets"])


def _check_used(world: World, tenant: str, name: str) -> Iterator[Finding]:
    """Warn of a tenant's component that reaches no host; those of the library are there to be chosen from."""
    component = world.tenant(tenant).get(COMPONENT, name)
    if component is None or tenant == LIBRARY or world.tenant(tenant).users.get(name):
        return
    message = f"no fleet and no component uses component {name}"
    remedy = "add it to the components of a fleet, or remove it"
    yield across("unused-component", component, ("metadata", "name"), message, remedy=remedy, action="warn")


def _used_before(old: World, touched: Collection[str]) -> set[tuple[str, str]]:
    """Return the components that fleets and components in the touched files used: they may be in nobody's use now."""
    users = (document for path in touched for document in old.at(path) if space_of(document.kind) in (FLEET, COMPONENT))
    return {(tenant_of(old, document), use.ref) for document in users for use in manifest.uses(document)}


def _concerns(finding: Finding, component: Document) -> bool:
    return finding.object == component.name and finding.place.file == component.path


def _with_fleets(world: World, finding: Finding) -> Finding:
    """Return a finding that says which fleets it holds up, for those found by looking at names and places."""
    if finding.action != "deny" or finding.rule not in ("manifest/duplicate", "manifest/tenant"):
        return finding
    named = {(place.file, place.document) for place in (finding.place, *finding.also)}
    documents = (document for path, _ in named for document in world.at(path) if (path, document.index) in named)
    fleets = frozenset("/".join(key) for document in documents for key in fleets_of(world, document))
    return replace(finding, fleets=finding.fleets | fleets)


def _check_mentions(world: World) -> Iterator[Finding]:
    """Yield warnings for freezes and waivers that name what does not exist: they may have outlived it."""
    for tenant in world.names:
        index = world.tenant(tenant)
        for freeze in index.documents(FREEZE):
            for position, name in enumerate(manifest.sequence(freeze.spec.get("fleets"))):
                if isinstance(name, str) and index.get(FLEET, name) is None:
                    message = f"there is no fleet {name} in tenant {tenant}, so this freezes nothing; {did_you_mean(name, index.of(FLEET))}"
                    pointer = ("spec", "fleets", position)
                    yield across("unknown-fleet", freeze, pointer, message, remedy="correct the name, or remove it", action="warn")
        for waiver in index.documents("waiver"):
            yield from _check_waiver(world, tenant, waiver)


def _check_waiver(world: World, tenant: str, waiver: Document) -> Iterator[Finding]:
    excused = manifest.mapping(waiver.spec.get("object"))
    kind, name = manifest.text(excused.get("kind")), manifest.text(excused.get("name"))
    index = world.tenant(tenant)
    found = world.component(tenant, name) if kind == "Component" else index.get(space_of(kind), name)
    if found is None or found.kind != kind:
        message = f"there is no {kind} {name} in tenant {tenant}, so this excuses nothing"
        remedy = "correct the object, or remove the waiver"
        yield across("unknown-object", waiver, ("spec", "object", "name"), message, remedy=remedy, action="warn")
