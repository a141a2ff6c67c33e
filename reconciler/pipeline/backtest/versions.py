"""Which versions of manifests each step brings, read by blob id, and what stands beside them: source files and waivers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pygit2
from pygit2.enums import ObjectType

from reconciler.pipeline.acceptance.corpus import ManifestFile, read_content, repository_of
from reconciler.pipeline.acceptance.proposal import source_path, source_texts, sources_of
from reconciler.pipeline.backtest.history import Step
from reconciler.pipeline.finding import Finding, ObjectName, Place
from reconciler.pipeline.manifests import REPOSITORY_FILE, SOURCES_DIRECTORY, Document, Layout, ParsedFile, is_manifest, layout_of
from reconciler.pipeline.source.directories import (
    READ_LIMIT,
    REGULAR,
    TREE,
    Node,
    changes_between,
    file_mode,
    find_node,
    read_object,
    size_of,
)
from reconciler.pipeline.source.trees import CommitTree
from reconciler.pipeline.tree import EMPTY, Tree
from reconciler.pipeline.waivers import Waiver
from reconciler.pipeline.waivers import read as waiver_of

KEPT_LIMIT = 20_000
"""Files that are kept as read: one that changes back and forth is read once, and memory stays below a gigabyte."""
_TELLING = (b"source", b"Waiver")
"""Without these words a file has neither source files nor waivers, so it need not be read to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A manifest as a step has it, with the texts of its source files; `old` is the same object as the step before had it."""

    document: Document
    sources: Mapping[str, str] = field(default_factory=dict)
    old: "Version | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a step brings: versions that differ from those before, files that can't be read (path, why), and all waivers of then."""

    step: Step
    versions: tuple[Version, ...]
    unread: tuple[tuple[str, str], ...]
    waivers: tuple[Waiver, ...]


class Versions:
    """Reads the steps of a history, one after the other."""

    def __init__(self, repository: pygit2.Repository) -> None:
        """Read from `repository`; the first step that is looked at says what there was before."""
        self._repository = repository
        self._read: dict[tuple[str, str, Layout], ManifestFile] = {}
        self._beside: dict[str, tuple[Document, ...]] = {}
        self._layouts: dict[str, Layout] = {}
        self._at: str | None = None

    def look(self, step: Step) -> Looked:
        """Return what a step brings; steps come in their order.

        Raises:
            MalformedError: an object is missing or damaged.
        """
        layout = self._layout(step.tree)
        if self._at != step.before:
            self._begin(step.before, layout)
        changes = {path: (was, now) for path, was, now in changes_between(self._repository, step.before, step.tree)}
        files = {path: (self._file(path, was, layout), self._file(path, now, layout)) for path, (was, now) in changes.items()}
        before = {one.name: one for file, _ in files.values() for one in _documents(file) if one.name}
        after = {one.name: one for _, file in files.values() for one in _documents(file) if one.name}
        touched = frozenset(path for path in changes if f"/{SOURCES_DIRECTORY}/" in path)
        around = dict(self._around(touched, frozenset(changes)))
        versions = tuple(self._versions(step, around | before, around | after))
        for path, (_, file) in files.items():
            self._keep(path, file)
        self._at = step.tree
        return Looked(step=step, versions=versions, unread=tuple(_unread(files)), waivers=tuple(self._waivers()))

    def _begin(self, tree: str | None, layout: Layout) -> None:
        """Find the files with source files and waivers of what there was before."""
        self._beside = {}
        for path, _, node in changes_between(self._repository, None, tree):
            if node is not None and is_manifest(path, layout) and file_mode(node[0]) == node[0]:
                whole = size_of(self._repository, *node) <= READ_LIMIT
                data = self._blob(node[1]) if whole else b""
                if any(word in data for word in _TELLING):
                    self._keep(path, self._file(path, node, layout))

    def _keep(self, path: str, file: ManifestFile | None) -> None:
        """Note what a file has that stands beside others, or that it no longer has any; an unreadable one keeps what it had."""
        if file is not None and file.refused:
            return
        telling = tuple(one for one in _documents(file) if one.kind == "Waiver" or any(True for _ in sources_of(one)))
        if telling:
            self._beside[path] = telling
        else:
            self._beside.pop(path, None)

    def _layout(self, tree: str | None) -> Layout:
        node = find_node(self._repository, tree, REPOSITORY_FILE) if tree is not None else None
        if node is None or node[0] == TREE:
            return Layout()
        if node[1] not in self._layouts:
            self._layouts[node[1]] = layout_of(repository_of(self._content(REPOSITORY_FILE, node[1], Layout())))
        return self._layouts[node[1]]

    def _file(self, path: str, node: Node | None, layout: Layout) -> ManifestFile | None:
        """Return a manifest file; None where there is none, or it is no plain file."""
        if node is None or file_mode(node[0]) != node[0] or not is_manifest(path, layout):
            return None
        return self._content(path, node[1], layout)

    def _content(self, path: str, oid: str, layout: Layout) -> ManifestFile:
        key = (path, oid, layout)
        if key not in self._read:
            if len(self._read) >= KEPT_LIMIT:
                self._read.clear()
            whole = size_of(self._repository, REGULAR, oid) <= READ_LIMIT
            self._read[key] = read_content(path, self._blob(oid), layout, oid=oid) if whole else _too_large(path, oid)
        return self._read[key]

    def _blob(self, oid: str) -> bytes:
        return read_object(self._repository, oid, ObjectType.BLOB)

    def _around(self, touched: frozenset[str], changed: frozenset[str]) -> Iterator[tuple[ObjectName, Document]]:
        """Yield the components that did not change, but a source file of theirs did."""
        for path, documents in self._beside.items() if touched else ():
            for one in documents if path not in changed else ():
                if one.name and any(source_path(path, source) in touched for source in sources_of(one)):
                    yield one.name, one

    def _versions(self, step: Step, before: Mapping[ObjectName, Document], after: Mapping[ObjectName, Document]) -> Iterator[Version]:
        trees = [CommitTree(self._repository, tree) if tree is not None else EMPTY for tree in (step.before, step.tree)]
        for name, document in after.items():
            old = _version(before[name], trees[0]) if name in before else None
            new = _version(document, trees[1], old=old)
            if old is None or old.document.value != document.value or old.sources != new.sources:
                yield new

    def _waivers(self) -> Iterator[Waiver]:
        found = (waiver_of(one) for documents in self._beside.values() for one in documents)
        return (waiver for waiver in found if waiver is not None)


def _version(document: Document, tree: Tree, *, old: Version | None = None) -> Version:
    return Version(document=document, sources=source_texts(document, tree), old=old)


def _too_large(path: str, oid: str) -> ManifestFile:
    """Return a file that is not read at all, as one that is refused."""
    code, message = "yaml/too-large", f"it has more than {READ_LIMIT} bytes"
    finding = Finding(action="deny", rule="manifest/syntax", code=code, message=message, place=Place(file=path))
    return ManifestFile(parsed=ParsedFile(path=path, oid=oid), findings=(finding,))


def _documents(file: ManifestFile | None) -> tuple[Document, ...]:
    return file.documents if file is not None else ()


def _unread(files: Mapping[str, tuple[ManifestFile | None, ManifestFile | None]]) -> Iterable[tuple[str, str]]:
    for path, (_, file) in sorted(files.items()):
        if file is not None and file.refused:
            yield path, next(one.message for one in file.findings if one.action == "deny")
