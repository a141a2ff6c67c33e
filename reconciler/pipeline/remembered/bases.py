"""What changes start from, put together before: the listing of a commit's tree, its documents by name, and its indexes.

Nearly all of a base is only looked up in: a plan of ten files among ten thousand reads a few hundred documents. So indexes are kept
as they were made, and a document's value is decoded when somebody asks for it. A base is its tree and how that was read and
validated, so another tree, or another version of ordain, finds nothing here. Files with a finding are read anew, since
nothing of those is remembered; a base of which any value is missing is put together anew.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from reconciler.pipeline.acceptance.corpus import Corpus, ManifestFile, by_name
from reconciler.pipeline.compile.index import TABLES, Claim, Index, Pair
from reconciler.pipeline.compile.world import World
from reconciler.pipeline.finding import ObjectName
from reconciler.pipeline.manifests import Document, Layout, ParsedFile
from reconciler.pipeline.remembered.manifests import KnownManifests, file_key
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.source import CommitTree
from reconciler.pipeline.tree import Entry, Tree

_Numbers = tuple[int, ...]
"""Documents, by their number among those of all files."""


class _Indexed(msgspec.Struct, array_like=True, frozen=True):
    """An `Index`, with numbers in place of documents."""

    files: dict[str, _Numbers]
    claims: dict[str, dict[str, _Numbers]]
    duplicates: frozenset[Claim]
    labelled: dict[Pair, set[str]]
    kinds: dict[str, set[str]]
    selecting: dict[Pair | None, set[str]]
    users: dict[str, set[Claim]]
    sources: dict[str, set[str]]
    relays: dict[str, set[str]]


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """A corpus: its files with how many documents of each count (None: read it anew), and (index, kind, tenant, name) of all documents."""

    entries: dict[str, Entry]
    layout: Layout
    files: dict[str, int | None]
    documents: list[tuple[int, str, str, str]]
    tenants: dict[str, _Indexed]
    misplaced: dict[str, _Numbers]
    repository: int | None


class _Later(Document):
    """A document whose value is looked up when somebody first asks for it."""

    __slots__ = ("_where",)
    _where: tuple[KnownManifests, str, int]

    def __eq__(self, other: object) -> bool:
        """Return whether it is the same document, however the other one was made."""
        mine = (self.path, self.index, self.value, self.name)
        return isinstance(other, Document) and mine == (other.path, other.index, other.value, other.name)

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        """Return the value, which its slot does not have yet."""
        if name != "value":
            raise AttributeError(name)
        known, key, number = self._where
        value = known.values(key)[number][1]
        object.__setattr__(self, "value", value)
        return value


class _Files(Mapping[str, ManifestFile]):
    """Manifest files, each put together when it is first asked for; `odd` are those that were read."""

    def __init__(self, entries: Mapping[str, Entry], documents: Mapping[str, tuple[Document, ...]], odd: dict[str, ManifestFile]) -> None:
        self._entries, self._documents, self._made = entries, documents, odd

    def __getitem__(self, path: str) -> ManifestFile:
        if path not in self._made:
            parsed = ParsedFile(path=path, oid=self._entries[path].oid, documents=self._documents[path])
            self._made[path] = ManifestFile(parsed=parsed, findings=())
        return self._made[path]

    def __contains__(self, path: object) -> bool:
        return path in self._documents

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)


class KnownBases:
    """What the trees of commits were put together to; `identity` says by what, and `known` has the values."""

    def __init__(self, sealed: Sealed, known: KnownManifests, identity: str) -> None:
        """Look nothing up yet."""
        self._sealed, self._known, self._identity = sealed, known, identity

    def get(self, tree: Tree) -> Corpus | None:
        """Return what `corpus.load` returned for a tree, None where that is not known. A tree that is known is not listed either."""
        if not isinstance(tree, CommitTree):
            return None
        kept = self._sealed.decoded(self._name(tree), dict[str, _Kept]).get(tree.oid)
        if kept is None:
            return None
        tree.know(kept.entries)
        keys = {path: file_key(tree, path, kept.layout) for path, count in kept.files.items() if count is not None}
        return _corpus(tree, kept, keys, self._known) if self._known.hold(keys.values()) else None

    def put(self, corpus: Corpus) -> None:
        """Keep what the tree of a commit was put together to."""
        if isinstance(corpus.tree, CommitTree):
            content = msgspec.msgpack.encode({corpus.tree.oid: _kept(corpus, self._known)})
            self._sealed.write(self._name(corpus.tree), content)

    def _name(self, tree: CommitTree) -> str:
        return f"base-{hashlib.sha256(f'{tree.oid} {self._identity}'.encode()).hexdigest()[:32]}"


def _kept(corpus: Corpus, known: KnownManifests) -> _Kept:
    documents = [document for file in corpus.files.values() for document in file.documents]
    numbers = {id(document): number for number, document in enumerate(documents)}

    def numbered(found: Mapping[str, Sequence[Document]]) -> dict[str, _Numbers]:
        return {name: tuple([numbers[id(one)] for one in each]) for name, each in found.items()}

    world = corpus.world
    return _Kept(
        entries=dict(corpus.tree.entries),
        layout=corpus.layout,
        files={
            path: len(file.documents) if not file.findings and known.has(file_key(corpus.tree, path, corpus.layout)) else None
            for path, file in corpus.files.items()
        },
        documents=[(one.index, *((one.name.kind, one.name.tenant, one.name.name) if one.name else ("", "", ""))) for one in documents],
        tenants={name: _indexed(index, numbered) for name, index in world.tenants.items()},
        misplaced=numbered(world.misplaced),
        repository=numbers[id(world.repository)] if world.repository is not None else None,
    )


def _indexed(index: Index, numbered: Callable[[Mapping[str, Sequence[Document]]], dict[str, _Numbers]]) -> _Indexed:
    return _Indexed(
        files=numbered(index.files),
        claims={space: numbered(names) for space, names in index.claims.items()},
        duplicates=frozenset(index.duplicates),
        **{name: dict(getattr(index, name)) for name in TABLES},
    )


def _corpus(tree: CommitTree, kept: _Kept, keys: Mapping[str, str], known: KnownManifests) -> Corpus | None:
    """Return a corpus as it was kept, None where a file that is read anew has other documents than it had."""
    odd = {path: known.read(tree, path, kept.layout) for path, count in kept.files.items() if count is None}
    files: dict[str, tuple[Document, ...]] = {}
    told = iter(kept.documents)
    for path, count in kept.files.items():
        if count is None:
            files[path] = odd[path].documents
            if [one.index for one in files[path]] != [one[0] for one in islice(told, len(files[path]))]:
                return None
        else:
            where, oid = (known, keys[path]), kept.entries[path].oid
            files[path] = tuple([_later(path, oid, one, where, number) for number, one in enumerate(islice(told, count))])
    documents = [document for found in files.values() for document in found]
    return Corpus(
        tree=tree,
        layout=kept.layout,
        files=_Files(kept.entries, files, odd),
        objects=by_name(documents),
        world=_world(kept, documents),
    )


def _world(kept: _Kept, documents: Sequence[Document]) -> World:
    def found(numbers: Mapping[str, _Numbers]) -> dict[str, tuple[Document, ...]]:
        return {name: tuple([documents[number] for number in each]) for name, each in numbers.items()}

    tenants = {
        name: Index(
            files=found(one.files),
            claims={space: found(names) for space, names in one.claims.items()},
            duplicates=one.duplicates,
            **{table: getattr(one, table) for table in TABLES},
        )
        for name, one in kept.tenants.items()
    }
    repository = documents[kept.repository] if kept.repository is not None else None
    return World(layout=kept.layout, tenants=tenants, misplaced=found(kept.misplaced), repository=repository)


def _later(path: str, oid: str, told: tuple[int, str, str, str], where: tuple[KnownManifests, str], number: int) -> Document:
    """Return a document without its value; made without its initialiser, which would need that."""
    index, kind, tenant, name = told
    document = object.__new__(_Later)
    put = object.__setattr__
    put(document, "path", path)
    put(document, "index", index)
    put(document, "name", ObjectName(kind=kind, tenant=tenant, name=name) if name else None)
    put(document, "oid", oid)
    put(document, "_where", (*where, number))
    return document
