"""All documents of a snapshot, indexed by tenant: what every later stage asks instead of reading files.

A document counts only where it may stand: one under `tenants/shop/` that says it belongs to another tenant is listed as
misplaced and is nobody's, so that no directory can reach into another tenant.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replaced

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.index import COMPONENT, FLEET, MEMBER, TENANT, Index
from reconciler.pipeline.manifests import REPOSITORY_FILE, SIGNERS_DIRECTORY, Document, Layout, is_signers

LIBRARY = ""
"""The library stands where a tenant does, under a name that no tenant can have."""
FleetKey = tuple[str, str]
"""(tenant, fleet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Documents of one snapshot. Immutable; `replace` derives the next one at the cost of what changed."""

    layout: Layout = field(default_factory=Layout)
    tenants: Mapping[str, Index] = field(default_factory=dict)
    """By tenant's directory; the library under `LIBRARY`."""
    misplaced: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    """Documents that may not stand where they do, by file."""
    repository: Document | None = None

    def tenant(self, name: str) -> Index:
        """Return a tenant's index, empty where there is no such tenant."""
        return self.tenants.get(name, _NOTHING)

    @property
    def names(self) -> list[str]:
        """The tenants, sorted, without the library."""
        return sorted(name for name in self.tenants if name != LIBRARY)

    def component(self, tenant: str, ref: str) -> Document | None:
        """Return the component that `ref` means in a tenant (`LIBRARY` for the library), None if none."""
        name = ref.removeprefix(manifest.LIBRARY_PREFIX)
        if name != ref:
            return self.tenant(LIBRARY).get(COMPONENT, name)
        return self.tenant(tenant).get(COMPONENT, name) if tenant != LIBRARY else None

    def fleet(self, key: FleetKey) -> Document | None:
        """Return a fleet's manifest, None if there is none."""
        return self.tenant(key[0]).get(FLEET, key[1])

    def fleets(self) -> Iterator[FleetKey]:
        """Yield all fleets, sorted."""
        return ((tenant, name) for tenant in self.names for name in sorted(self.tenants[tenant].of(FLEET)))

    def members(self, tenant: str) -> Mapping[str, tuple[Document, ...]]:
        """Return a tenant's agents and pools by name; the first document of each counts."""
        return self.tenant(tenant).of(MEMBER)

    def documents(self) -> Iterator[Document]:
        """Yield every document, misplaced ones and `ordain.yaml` included."""
        if self.repository is not None:
            yield self.repository
        for index in self.tenants.values():
            for documents in index.files.values():
                yield from documents
        for documents in self.misplaced.values():
            yield from documents

    def at(self, path: str) -> tuple[Document, ...]:
        """Return the documents of a file that stand where they may."""
        if path == REPOSITORY_FILE:
            return (self.repository,) if self.repository is not None else ()
        home = home_of(path, self.layout)
        return self.tenant(home).files.get(path, ()) if home is not None else ()

    def replace(self, changes: Mapping[str, Iterable[Document]]) -> "World":
        """Return the world with the documents of some files replaced; no documents: the file is gone.

        A change of `ordain.yaml` keeps the layout: another layout is another world, so `build` it.
        """
        by_home: dict[str, dict[str, tuple[Document, ...]]] = {}
        misplaced = dict(self.misplaced)
        repository = self.repository
        for path, given in changes.items():
            documents = tuple(given)
            if path == REPOSITORY_FILE:
                repository = next((document for document in documents if document.kind == "Repository"), None)
            home = home_of(path, self.layout)
            right = tuple([document for document in documents if belongs(document, home, self.layout)]) if home is not None else ()
            wrong = _wrong(documents, (*right, repository), home) if len(right) < len(documents) else ()
            if home is not None:
                by_home.setdefault(home, {})[path] = right
            misplaced.pop(path, None)
            if wrong:
                misplaced[path] = wrong
        tenants = dict(self.tenants)
        for home, files in by_home.items():
            index = self.tenant(home).replace(files)
            tenants[home] = index
            if not index.files:
                del tenants[home]
        return replaced(self, tenants=tenants, misplaced=misplaced, repository=repository)


def _wrong(documents: Iterable[Document], standing: Iterable[Document | None], home: str | None) -> tuple[Document, ...]:
    """Return the documents of a file that stand where they may not."""
    fine = {id(document) for document in standing}
    return tuple(one for one in documents if id(one) not in fine and not (home is None and is_repository_signer(one)))


_NOTHING = Index()


def build(documents: Iterable[Document], layout: Layout) -> World:
    """Return the world of these documents; those of one file may come in any order."""
    files: dict[str, list[Document]] = {}
    for document in documents:
        files.setdefault(document.path, []).append(document)
    return World(layout=layout).replace(files)


def home_of(path: str, layout: Layout) -> str | None:
    """Return the tenant in whose directory a file lies, `LIBRARY` for the library, None for neither."""
    if path.startswith(layout.library + "/"):
        return LIBRARY
    if not path.startswith(layout.tenants + "/"):
        return None
    tenant, slash, _ = path[len(layout.tenants) + 1 :].partition("/")
    return tenant if slash and tenant else None


def is_repository_signer(document: Document) -> bool:
    """Return whether a document is a signer of the whole repository, and stands where these do: it is in no tenant's index."""
    named = document.name is not None and not document.name.tenant
    return document.kind == "Signer" and named and document.path.startswith(SIGNERS_DIRECTORY + "/")


def belongs(document: Document, home: str, layout: Layout) -> bool:
    """Return whether a document may stand in a tenant's directory, or in the library."""
    if document.name is None:
        return False
    stated = document.name.tenant
    if home == LIBRARY:
        return document.kind == "Component" and not stated
    if document.kind == "Tenant":
        return document.name.name == home and stated in ("", home)
    if document.kind == "Signer" and not is_signers(document.path, layout):
        return False
    return document.kind != "Repository" and stated == home


def may_stand(document: Document, layout: Layout) -> bool:
    """Return whether a document may stand where it does."""
    home = home_of(document.path, layout)
    return is_repository_signer(document) if home is None else belongs(document, home, layout)


def tenant_of(world: World, document: Document) -> str:
    """Return the tenant in whose directory a document lies, `LIBRARY` where in none."""
    return home_of(document.path, world.layout) or LIBRARY


def has_tenant_manifest(world: World, tenant: str) -> bool:
    """Return whether a tenant has its own manifest."""
    return world.tenant(tenant).get(TENANT, tenant) is not None
