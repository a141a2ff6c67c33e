"""Accepted trees: each is its head's, but for refused files, which are as they were accepted before; and what it compiles to.

Trees are compiled once, and files are read once however many trees have them.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import pygit2
from pygit2.enums import ObjectType

from agent.protocol import codec
from agent.protocol.errors import MalformedError, OrdainError
from reconciler.pipeline import accepted
from reconciler.pipeline.acceptance.corpus import Corpus, ManifestFile, load, read_file
from reconciler.pipeline.audit import DecisionRecord, record_key
from reconciler.pipeline.compile.compiler import Compiled, compile_fleet
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.manifests import Layout
from reconciler.pipeline.objects import import_objects
from reconciler.pipeline.proof.records import Chain
from reconciler.pipeline.proof.shape import Finding, Misfit, Report, Unproven
from reconciler.pipeline.source import CommitTree, write_tree
from reconciler.pipeline.source.directories import SUBMODULE, changes_between, read_object, tree_of
from reconciler.pipeline.tree import Tree
from reconciler.pipeline.why.answer import bundle_format
from reconciler.publication.store import Store

KEPT = 4
"""Snapshots that are kept: decisions are gone through in their order, and releases of one stand near each other."""
OBJECTS = "approved/_objects/"


@dataclass(slots=True, kw_only=True)
class Trees:
    """Reads and compiles accepted trees of a repository."""

    repository: pygit2.Repository
    given: pygit2.Repository
    """What the auditor was given, without what the store added."""
    _corpora: OrderedDict[str, Corpus] = field(default_factory=OrderedDict)
    _compiled: dict[tuple[str, FleetKey], Compiled] = field(default_factory=dict)
    _files: dict[tuple[str, str, Layout], ManifestFile] = field(default_factory=dict)

    def has(self, oid: str) -> bool:
        """Return whether an object is here, in whatever state."""
        return pygit2.Oid(hex=oid) in self.repository.odb

    def was_given(self, oid: str) -> bool:
        """Return whether an object is in what the auditor was given: then all below it must be there too."""
        return pygit2.Oid(hex=oid) in self.given.odb

    def corpus(self, tree: str) -> Corpus:
        """Return a snapshot with its manifests read; raise `MalformedError` where objects are missing or damaged."""
        if tree not in self._corpora:
            self._corpora[tree] = load(CommitTree(self.repository, tree), read=self._read)
            while len(self._corpora) > KEPT:
                self._corpora.popitem(last=False)
        return self._corpora[tree]

    def compiled(self, tree: str, fleet: FleetKey) -> Compiled:
        """Return a fleet as a tree compiles it; raise `KeyError` if it has no such fleet, else as `compile_fleet` and `corpus`."""
        if (tree, fleet) not in self._compiled:
            corpus = self.corpus(tree)
            self._compiled[tree, fleet] = compile_fleet(corpus.world, corpus.tree, fleet, format=bundle_format(corpus))
        return self._compiled[tree, fleet]

    def _read(self, tree: Tree, path: str, layout: Layout) -> ManifestFile:
        key = (path, tree.entries[path].oid, layout)
        if key not in self._files:
            self._files[key] = read_file(tree, path, layout, oid=key[1])
        return self._files[key]


def bring_objects(store: Store, repository: pygit2.Repository, chain: Chain, report: Report) -> None:
    """Put the git objects that the store keeps into a scratch repository, each archive checked against its name."""
    wanted = {accepted.object_key(digest) for digest in chain.state.objects} if chain.state is not None else set()
    there = set(store.list(OBJECTS))
    for key in sorted(wanted | there):
        report.take("object archive", _bring(store, repository, key))


def _bring(store: Store, repository: pygit2.Repository, key: str) -> list[Finding]:
    data = store.get(key)
    if data is None:
        return [Misfit(what="object archive", where=key, expected="an archive that accepted state names", found="nothing")]
    if accepted.object_key(codec.sha256(data)) != key:
        return [
            Misfit(what="object archive", where=key, expected="the archive with this digest", found=f"one with digest {codec.sha256(data)}")
        ]
    try:
        import_objects(repository, data)
    except MalformedError as error:
        return [Misfit(what="object archive", where=key, expected="an archive of git objects", found=str(error))]
    return []


def check_trees(trees: Trees, chain: Chain, first: int, report: Report) -> dict[int, DecisionRecord]:
    """Check each decision's tree against its head, and what it released against what the tree compiles to.

    Return the records, by number, whose trees are not known to be wrong: what bundles may be held to.
    """
    fit = dict(chain.by_number)
    for record in chain.records:
        if record.sequence < first:
            continue
        found = _tree(trees, record, chain)
        if report.take("accepted tree", found):
            for one in record.releases:
                report.take("release", _release(trees, record, (one.tenant, one.fleet), one.digest))
        elif any(isinstance(one, Misfit) for one in found):
            del fit[record.sequence]
    return fit


def _tree(trees: Trees, record: DecisionRecord, chain: Chain) -> list[Finding]:
    where, before, repository = f"{record_key(record.sequence)}, head {record.head}", chain.before(record), trees.repository
    if not trees.has(record.head):
        return [Unproven(what="accepted tree", where=where, why="the commit is in neither the repository nor the store")]
    if record.refused and record.previous is not None and before is None:
        return [
            Unproven(what="accepted tree", where=where, why="the record before it, whose versions of refused files stay, does not hold")
        ]
    try:
        head = CommitTree(repository, record.head).oid
        if trees.was_given(record.head):
            _read_all(trees.given, before.head if before is not None and trees.was_given(before.head) else None, record.head)
        former = before.tree if before is not None else None
        refused = {path: accepted.blob_of(repository, former, path) for path in record.refused}
        made = write_tree(repository, head, refused) if refused else head
    except (MalformedError, pygit2.GitError, KeyError) as error:
        if not trees.was_given(record.head):
            return [Unproven(what="accepted tree", where=where, why="the store keeps what was accepted of this commit, not all of it")]
        return [Misfit(what="git object", where=where, expected="the objects of this commit", found=str(error))]
    if made == record.tree:
        return []
    expected = f"tree {made}: that of the head" + (f" with {len(refused)} refused files as they were accepted" if refused else "")
    return [Misfit(what="accepted tree", where=where, expected=expected, found=f"tree {record.tree}")]


def _read_all(repository: pygit2.Repository, old: str | None, new: str) -> None:
    """Read what differs between two commits; raise `MalformedError` for an object that is missing, or not what its name says."""
    before = tree_of(repository, old) if old is not None else None
    for _, _, node in changes_between(repository, before, tree_of(repository, new)):
        if node is not None and node[0] != SUBMODULE:
            read_object(repository, node[1], ObjectType.BLOB)


def _release(trees: Trees, record: DecisionRecord, fleet: FleetKey, digest: str) -> list[Finding]:
    return compiles_to(trees, record, fleet, digest, what="release", where=f"{'/'.join(fleet)} in {record_key(record.sequence)}")


def compiles_to(trees: Trees, record: DecisionRecord, fleet: FleetKey, digest: str, *, what: str, where: str) -> list[Finding]:
    """Return what is wrong with saying that a fleet's bundle of this digest is from a decision's tree."""
    try:
        made = trees.compiled(record.tree, fleet).digest
    except KeyError:
        return [Misfit(what=what, where=where, expected=f"a fleet {'/'.join(fleet)} at commit {record.head}", found="none there")]
    except OrdainError as error:
        return [Misfit(what=what, where=where, expected=f"what commit {record.head} compiles to", found=str(error))]
    if made == digest:
        return []
    return [
        Misfit(what=what, where=where, expected=f"bundle sha256:{made}, which commit {record.head} compiles to", found=f"sha256:{digest}")
    ]
