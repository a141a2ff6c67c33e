"""Which documents may stand where, and which claim one name: what makes a tenant a unit of isolation."""

from collections.abc import Iterable, Iterator

from reconciler.pipeline.compile.expansion import Expansion, owner_of
from reconciler.pipeline.compile.findings import across
from reconciler.pipeline.compile.groups import Membership
from reconciler.pipeline.compile.index import COMPONENT, FLEET, MEMBER, TENANT, Index
from reconciler.pipeline.compile.world import LIBRARY, FleetKey, World, has_tenant_manifest, home_of
from reconciler.pipeline.finding import Finding, ObjectName
from reconciler.pipeline.manifests import REPOSITORY_FILE, SIGNERS_DIRECTORY, Document, is_signers


def check_placement(world: World) -> Iterator[Finding]:
    """Yield every document that may not stand where it does, and every tenant without a manifest of its own."""
    for documents in world.misplaced.values():
        for document in documents:
            yield _misplaced(world, document)
    for tenant in world.names:
        yield from check_tenant(world, tenant)


def _misplaced(world: World, document: Document) -> Finding:
    home = home_of(document.path, world.layout)
    stated = document.name.tenant if document.name is not None else ""
    if home == LIBRARY:
        pointer: tuple[str, ...] = ("metadata", "tenant") if document.kind == "Component" else ("kind",)
        what = f"it names tenant {stated}" if document.kind == "Component" else f"this is a {document.kind}"
        message = f"{world.layout.library}/ holds components that belong to no tenant, and {what}"
        remedy = f"leave metadata.tenant out, or move it to {world.layout.tenants}/<tenant>/"
    elif document.kind == "Signer" and not is_signers(document.path, world.layout):
        pointer, message = ("kind",), "a Signer lies in a directory named signers, so that a change of one is seen by its path"
        remedy = f"move it to {SIGNERS_DIRECTORY}/, or to {world.layout.tenants}/{home or '<tenant>'}/{SIGNERS_DIRECTORY}/"
    elif home is None and is_signers(document.path, world.layout):
        pointer = ("metadata", "tenant") if document.kind == "Signer" else ("kind",)
        message = f"{SIGNERS_DIRECTORY}/ holds signers of the whole repository, and this is {document.name or 'none'}"
        remedy = f"move it to {world.layout.tenants}/<tenant>/, or leave metadata.tenant out of a Signer"
    elif home is None:
        pointer, message = ("kind",), f"a {document.kind} does not belong into {document.path}"
        remedy = f"move it to {world.layout.tenants}/<tenant>/; {REPOSITORY_FILE} holds the one Repository"
    elif document.kind in ("Tenant", "Repository"):
        is_tenant = document.kind == "Tenant"
        pointer = ("metadata", "name") if is_tenant else ("kind",)
        message = f"the directory's tenant is {home}, and this is {document.name}" if is_tenant else "only ordain.yaml holds a Repository"
        remedy = f"name it {home}, or move it to the directory of its tenant" if is_tenant else f"move it to {REPOSITORY_FILE}"
    else:
        pointer = ("metadata", "tenant")
        message = f"it names tenant {stated}, and lies in the directory of tenant {home}" if stated else "it names no tenant"
        remedy = f"write tenant: {home}, or move the file to {world.layout.tenants}/{stated or '<tenant>'}/"
    return across("tenant", document, pointer, message, remedy=remedy)


def check_tenant(world: World, tenant: str) -> Iterator[Finding]:
    """Yield a finding where a tenant has no Tenant manifest: it names every file of the tenant."""
    if has_tenant_manifest(world, tenant):
        return
    index = world.tenant(tenant)
    documents = [index.files[path][0] for path in sorted(index.files)]
    message = f"tenant {tenant} has no manifest of kind Tenant"
    remedy = f"add {world.layout.tenants}/{tenant}/tenant.yaml with kind: Tenant and metadata.name: {tenant}"
    missing = (ObjectName(kind="Tenant", tenant="", name=tenant),)
    yield across(
        "missing-tenant",
        documents[0],
        ("metadata",),
        message,
        remedy=remedy,
        also=documents,
        missing=missing,
        fleets=_fleets(tenant, index),
    )


def _fleets(tenant: str, index: Index) -> list[str]:
    return [f"{tenant}/{name}" for name in index.of(FLEET)]


def check_duplicates(world: World) -> Iterator[Finding]:
    """Yield a finding for each document but the first that claims a name; agents and pools share one name space."""
    for index in world.tenants.values():
        for space, name in sorted(index.duplicates):
            yield from duplicate(index.of(space)[name])


def duplicate(found: tuple[Document, ...]) -> Iterator[Finding]:
    """Yield the findings of documents that claim one name."""
    for document in found[1:]:
        message = f"{document.name} is defined twice: here and in {found[0].path}"
        if document.kind != found[0].kind:
            message = f"{document.name} has the name of {found[0].name} in {found[0].path}; agents and pools share one name space"
        yield across("duplicate", document, ("metadata", "name"), message, remedy="rename or remove one of them", also=found)


def check_claims(world: World, key: FleetKey, expansion: Expansion, membership: Membership) -> Iterator[Finding]:
    """Yield what keeps a fleet from being compiled by what it is made of: duplicates, or no Tenant manifest."""
    tenant, name = key
    yield from check_tenant(world, tenant)
    for found in _claimed(world, tenant, name, expansion, membership.documents):
        if len(found) > 1:
            yield from duplicate(found)


def _claimed(world: World, tenant: str, fleet: str, expansion: Expansion, members: Iterable[str]) -> Iterator[tuple[Document, ...]]:
    index = world.tenant(tenant)
    yield index.of(FLEET)[fleet]
    yield index.of(TENANT).get(tenant, ())
    for ref in expansion.instances:
        owner, name = owner_of(tenant, ref)
        yield world.tenant(owner).of(COMPONENT)[name]
    claims = index.of(MEMBER)
    for member in members:
        yield claims[member]
