"""A change as it was proposed: the accepted state, the head, and all that differs, read once."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from reconciler.pipeline import attestations
from reconciler.pipeline.acceptance.corpus import Corpus, ManifestFile, Reader, read_file
from reconciler.pipeline.compile import manifest as manifests
from reconciler.pipeline.finding import Finding, ObjectName, Place
from reconciler.pipeline.manifests import (
    REPOSITORY_FILE,
    SIGNERS_DIRECTORY,
    SOURCES_DIRECTORY,
    Document,
    Layout,
    inspect_tree,
    is_judge,
    is_manifest,
)
from reconciler.pipeline.misplaced import misplaced
from reconciler.pipeline.snapshot import TOO_MANY_FILES
from reconciler.pipeline.tree import Difference, Entry, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a change would make of the accepted state.

    `read` holds the head's version of each touched manifest file; `layout` is the head's, or the
    accepted one where the head's judge is refused.
    """

    base: Corpus
    head: Tree
    layout: Layout
    touched: frozenset[str]
    removed: frozenset[str]
    read: Mapping[str, ManifestFile]
    findings: tuple[Finding, ...]
    doubted: frozenset[str] = frozenset()
    """Touched files that signatures refuse: whatever else is found counts them as they were accepted."""

    def documents(self, path: str) -> tuple[Document, ...]:
        """Return what the head has at a touched path; nothing where it was removed or can't be read."""
        return self.read[path].documents if path in self.read else ()

    def is_judge(self, path: str) -> bool:
        """Return whether a path is part of the judge, on either side."""
        return is_judge(path, self.layout) or is_judge(path, self.base.layout)


@dataclass(frozen=True, slots=True)
class PartialTree:
    """The head with some paths as they were accepted: what a partly refused change amounts to."""

    head: Tree
    base: Tree
    kept: frozenset[str]

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All files, as `Tree.entries`."""
        before = self.base.entries
        mixed = {path: entry for path, entry in self.head.entries.items() if path not in self.kept}
        mixed |= {path: before[path] for path in self.kept if path in before}
        return dict(sorted(mixed.items()))

    def read(self, path: str) -> bytes:
        """Return a file's bytes, as `Tree.read`."""
        return (self.base if path in self.kept else self.head).read(path)


def propose(
    base: Corpus, head: Tree, difference: Difference, layout: Layout, *, doubted: Collection[str] = (), read: Reader = read_file
) -> Proposal:
    """Read all that differs. Where the layout differs too, everything is read again, since any file may change its meaning.

    `doubted` are files that signatures refuse: they are read, to be shown, and nobody else's name clashes with theirs.
    """
    touched, removed = difference.touched, difference.removed
    if layout != base.layout:
        touched = frozenset(base.tree.entries.keys() | head.entries.keys())
        removed = frozenset(touched - head.entries.keys())
    present = sorted(touched - removed)
    directories = (layout.tenants, layout.library, layout.policies, SIGNERS_DIRECTORY)
    names = (head.entries.keys() - doubted) | (base.tree.entries.keys() & doubted) if doubted else None
    inspected = inspect_tree(head, read_from=directories, only=touched, added=difference.added - set(doubted), names=names)
    barred = [finding for finding in inspected if concerned(finding, touched)]
    unreadable = {path for finding in barred if finding.action == "deny" for path in concerned(finding, touched)}
    files = {path: read(head, path, layout) for path in present if path not in unreadable and is_manifest(path, layout)}
    found = [finding for file in files.values() for finding in file.findings]
    found += misplaced(head, (path for path in present if path not in unreadable), layout)
    return Proposal(
        base=base,
        head=head,
        layout=layout,
        touched=touched,
        removed=removed,
        read=files,
        findings=(*barred, *found, *_missing(removed)),
        doubted=touched & set(doubted),
    )


def concerned(finding: Finding, touched: frozenset[str]) -> frozenset[str]:
    """Return the touched files that a finding is about: those that it names, or all where it is about their number."""
    return touched if finding.code == TOO_MANY_FILES else touched & finding.files


def _missing(removed: Iterable[str]) -> Iterable[Finding]:
    if REPOSITORY_FILE in removed:
        yield Finding(
            action="deny",
            rule="manifest/repository",
            code="repository/removed",
            message=f"{REPOSITORY_FILE} can't be removed: it says how this repository is read",
            remedy=f"put {REPOSITORY_FILE} back",
            place=Place(file=REPOSITORY_FILE),
        )


def companions(proposal: Proposal) -> list[frozenset[str]]:
    """Return the sets of touched files that stand or fall together.

    A manifest with its `source` files; files that an object moves between; and all files of the judge. What a file says that nobody may
    have written ties nothing to it.
    """
    groups = [frozenset(path for path in proposal.touched if proposal.is_judge(path))]
    groups += [frozenset({here, there}) for here, there in _moves(proposal)]
    for path in proposal.touched:
        before = proposal.base.files.get(path)
        written = proposal.documents(path) if path not in proposal.doubted else ()
        documents = (*written, *(before.documents if before else ()))
        sources = {source_path(path, one) for document in documents for one in sources_of(document)}
        groups.append(frozenset({path, *sources}) & proposal.touched)
    groups += _unchanged_owners(proposal)
    return [group for group in groups if len(group) > 1]


def _moves(proposal: Proposal) -> Iterable[tuple[str, str]]:
    for path, file in proposal.read.items():
        for document in file.documents:
            before = proposal.base.objects.get(document.name) if document.name else None
            if before is not None and before.path != path and before.path in proposal.touched and not _stays(proposal, before):
                yield path, before.path


def _stays(proposal: Proposal, document: Document) -> bool:
    """Return whether an object is still where it was accepted, so that the same name in another file is a copy and no move."""
    return any(one.name == document.name for one in proposal.documents(document.path))


def _unchanged_owners(proposal: Proposal) -> Iterable[frozenset[str]]:
    """Sources of one manifest that itself did not change: they land together or not at all."""
    owners: dict[str, set[str]] = {}
    loose = {path for path in proposal.touched if "/files/" in path}
    if not loose:
        return
    for document in proposal.base.objects.values():
        if document.kind == "Component" and document.path not in proposal.touched:
            for one in sources_of(document):
                if (source := source_path(document.path, one)) in loose:
                    owners.setdefault(document.path, set()).add(source)
    yield from (frozenset(group) for group in owners.values())


def sources_of(document: Document) -> Iterable[str]:
    """Yield the `source` of each file in git that a component needs beside its manifest."""
    if document.kind == "Component":
        yield from (source for _, source in manifests.sourced(document))
        yield from (source for _, source in attestations.stated(document.value))


def source_path(manifest: str, source: str) -> str:
    """Return where a source file of a manifest lies."""
    return f"{manifest.rpartition('/')[0]}/{source}"


def source_texts(document: Document, tree: Tree) -> dict[str, str]:
    """Return the text of a component's source files by their `source`; those that are missing or no text are left out."""
    texts = {}
    for source in sources_of(document):
        with contextlib.suppress(KeyError, UnicodeDecodeError):
            texts[source] = tree.read(source_path(document.path, source)).decode()
    return texts


def with_touched_sources(proposal: Proposal) -> dict[ObjectName, Document]:
    """Return the head's components of which a source file differs, whether or not the manifest does."""
    if not any(f"/{SOURCES_DIRECTORY}/" in path for path in proposal.touched):
        return {}
    read = {document.name: document for file in proposal.read.values() for document in file.documents if document.name}
    kept = {name: document for name, document in proposal.base.objects.items() if document.path not in proposal.touched}
    return {
        name: document
        for name, document in (kept | read).items()
        if any(source_path(document.path, source) in proposal.touched for source in sources_of(document))
    }


def closure(refused: Mapping[str, str], groups: Iterable[frozenset[str]]) -> dict[str, str]:
    """Return the refused files with all their companions, each with its reason."""
    reasons = dict(refused)
    waiting = list(groups)
    while True:
        hit = [group for group in waiting if group & reasons.keys()]
        if not hit:
            return reasons
        waiting = [group for group in waiting if not group & reasons.keys()]
        for group in hit:
            cause = min(group & reasons.keys())
            for path in sorted(group - reasons.keys()):
                reasons[path] = f"stands or falls with {cause}: {reasons[cause]}"


def changed_objects(proposal: Proposal) -> dict[str, list[tuple[ObjectName, Document]]]:
    """Return objects added, changed and removed, each with its document (the accepted one where removed)."""
    base = proposal.base.objects
    after = {document.name: document for file in proposal.read.values() for document in file.documents if document.name}
    before = {
        document.name: document
        for path in proposal.touched
        if (file := proposal.base.files.get(path))
        for document in file.documents
        if document.name
    }
    unreadable = {path for path in proposal.touched - proposal.removed if path not in proposal.read or proposal.read[path].refused}
    return {
        "added": [(name, document) for name, document in after.items() if name not in base],
        "changed": [(name, document) for name, document in after.items() if name in base and base[name].value != document.value],
        "removed": [(name, document) for name, document in before.items() if name not in after and document.path not in unreadable],
    }
