"""What is looked up by name, by label, by selector, by component and by source, for one tenant or the library.

Values are never changed: a commit that touches three files makes a new index that shares all else with the old,
so that accepting one host costs the same in a fleet of ten and of ten thousand.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.manifests import Document

K = TypeVar("K")
Pair = tuple[str, str]
"""A label's key and value."""
Claim = tuple[str, str]
"""What may exist once in a tenant: (space, name); agents and pools share the space `member`."""

MEMBER, COMPONENT, FLEET, TENANT, FREEZE, ROLE = "member", "component", "fleet", "tenant", "freeze", "role"
SPACES = {"Agent": MEMBER, "AgentPool": MEMBER, "Component": COMPONENT, "Fleet": FLEET, "Tenant": TENANT}

TABLES = ("labelled", "kinds", "relays", "selecting", "users", "sources")
"""The fields of an `Index` that hold names by what is looked up; see `entries`."""


def space_of(kind: str) -> str:
    """Return the name space of a kind; other kinds have one each, by their own name in lower case."""
    return SPACES.get(kind, kind.lower())


_NO_NAMES: Mapping[str, tuple[Document, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One tenant's documents, or the library's. Where several documents claim one name, the first by path counts."""

    files: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    """Documents by file."""
    claims: Mapping[str, Mapping[str, tuple[Document, ...]]] = field(default_factory=dict)
    """Documents by space and name, in order of path; more than one is a duplicate."""
    duplicates: AbstractSet[Claim] = frozenset()
    """Spaces and names that more than one document claims."""
    labelled: Mapping[Pair, AbstractSet[str]] = field(default_factory=dict)
    """Names of members that carry a label."""
    kinds: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    """Names of members by kind."""
    relays: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    """Names of agents that read a fleet's repository for others, by the fleet."""
    selecting: Mapping[Pair | None, AbstractSet[str]] = field(default_factory=dict)
    """Names of fleets by one label of their selector; under None those that select everybody."""
    users: Mapping[str, AbstractSet[Claim]] = field(default_factory=dict)
    """Components and fleets that name a component, by the name as they write it (`base`, `library/base`)."""
    sources: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    """Names of components that take a file's content from a source, by its path in the tree."""

    def of(self, space: str) -> Mapping[str, tuple[Document, ...]]:
        """Return the documents of one space by name."""
        return self.claims.get(space, _NO_NAMES)

    def get(self, space: str, name: str) -> Document | None:
        """Return the document that has a name, None if none."""
        found = self.of(space).get(name)
        return found[0] if found else None

    def documents(self, space: str) -> Iterator[Document]:
        """Yield the documents of one space, each name once."""
        return (found[0] for found in self.of(space).values())

    def replace(self, changes: Mapping[str, Iterable[Document]]) -> "Index":
        """Return the index with the documents of some files replaced; no documents: the file is gone."""
        draft = _Draft(self)
        for path, documents in changes.items():
            draft.put(path, tuple(document for document in documents if document.name is not None))
        return draft.done()


class _Sets(Generic[K]):
    """Sets by key, each copied when it is first changed, and the table of them too: a commit changes few tables."""

    def __init__(self, sets: "Mapping[K, AbstractSet]") -> None:  # type: ignore[type-arg]
        self._before = sets
        self._sets: dict[K, AbstractSet] | None = None  # type: ignore[type-arg]
        self._own: set[K] = set()

    def add(self, key: K, value: object) -> None:
        sets = self._table()
        if key in self._own:
            sets[key].add(value)  # type: ignore[attr-defined]
        else:
            sets[key] = {*sets.get(key, ()), value}
            self._own.add(key)

    def discard(self, key: K, value: object) -> None:
        sets = self._table()
        sets[key] = set(sets.get(key, ())) - {value}
        self._own.add(key)

    def _table(self) -> "dict[K, AbstractSet]":  # type: ignore[type-arg]
        if self._sets is None:
            self._sets = dict(self._before)
        return self._sets

    def done(self) -> "Mapping[K, AbstractSet]":  # type: ignore[type-arg]
        if self._sets is None:
            return self._before
        for key in self._own:
            if not self._sets[key]:
                del self._sets[key]
        return self._sets


class _Draft:
    """An index while it is changed: only the first document of each claim is entered into the other tables."""

    def __init__(self, index: Index) -> None:
        self._before = index
        self._files = dict(index.files)
        self._claims = dict(index.claims)
        self._own_spaces: set[str] = set()
        self._dirty: set[Claim] = set()
        self._duplicates = set(index.duplicates)
        self._tables = {name: _Sets(getattr(index, name)) for name in TABLES}

    def _space(self, space: str) -> dict[str, tuple[Document, ...]]:
        if space not in self._own_spaces:
            self._claims[space] = dict(self._claims.get(space, {}))
            self._own_spaces.add(space)
        return self._claims[space]  # type: ignore[return-value]

    def put(self, path: str, documents: tuple[Document, ...]) -> None:
        for document in self._files.pop(path, ()):
            space, name = claim = claim_of(document)
            self._dirty.add(claim)
            names = self._space(space)
            names[name] = tuple(other for other in names[name] if other is not document)
        for document in documents:
            space, name = claim = claim_of(document)
            self._dirty.add(claim)
            names = self._space(space)
            others = names.get(name)
            names[name] = tuple(sorted((*others, document), key=lambda one: (one.path, one.index))) if others else (document,)
        if documents:
            self._files[path] = documents

    def done(self) -> Index:
        for space, name in self._dirty:
            before, after = self._before.get(space, name), self._space(space)[name]
            if len(after) > 1:
                self._duplicates.add((space, name))
            else:
                self._duplicates.discard((space, name))
            if before is not (after[0] if after else None):
                for table, key, value in entries(before) if before is not None else ():
                    self._tables[table].discard(key, value)
                for table, key, value in entries(after[0]) if after else ():
                    self._tables[table].add(key, value)
            if not after:
                del self._space(space)[name]
        tables = {name: table.done() for name, table in self._tables.items()}
        claims = {space: names for space, names in self._claims.items() if names}
        return Index(files=self._files, claims=claims, duplicates=self._duplicates, **tables)


def claim_of(document: Document) -> Claim:
    """Return the space and name that a document claims."""
    name = document.name
    return (space_of(name.kind), name.name) if name is not None else (space_of(document.kind), "")


def entries(document: Document) -> Iterator[tuple[str, object, object]]:
    """Yield (table, key, value) of each entry that a document has in the tables of an index."""
    space, name = claim_of(document)
    if space == MEMBER:
        yield "kinds", document.kind, name
        for pair in manifest.labels(document).items():
            yield "labelled", pair, name
        for fleet in manifest.relayed(document):
            yield "relays", fleet, name
    if space == FLEET:
        yield "selecting", min(manifest.selector(document).items(), default=None), name
        for use in manifest.uses(document):
            yield "users", use.ref, (FLEET, name)
    if space == COMPONENT:
        for use in manifest.uses(document):
            yield "users", use.ref, (COMPONENT, name)
        for path in manifest.sources(document):
            yield "sources", path, name
