"""Snapshots that were accepted at some time, read and compiled again.

Trees are compiled once, and files are read once however many trees have them.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import pygit2

from reconciler.pipeline.acceptance.corpus import Corpus, ManifestFile, load, read_file
from reconciler.pipeline.compile.compiler import Compiled, compile_fleet
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.manifests import Layout
from reconciler.pipeline.source import CommitTree
from reconciler.pipeline.tree import Tree

KEPT = 4
"""Snapshots that are kept: decisions are gone through in their order, and releases of one stand near each other."""
KEPT_FLEETS = 64
"""Compiled fleets that are kept: each holds its whole bundle."""


def bundle_format(corpus: Corpus) -> int:
    """Return the format of bundles that a snapshot's `ordain.yaml` pins."""
    stated = corpus.repository.spec.get("format", 1) if corpus.repository is not None else 1
    return stated if isinstance(stated, int) else 1


@dataclass(slots=True, kw_only=True)
class Trees:
    """Reads and compiles accepted trees of a repository."""

    repository: pygit2.Repository
    given: pygit2.Repository | None = None
    """What an auditor was given, without what the store added; None: the same."""
    _corpora: OrderedDict[str, Corpus] = field(default_factory=OrderedDict)
    _compiled: OrderedDict[tuple[str, FleetKey], Compiled] = field(default_factory=OrderedDict)
    _digests: dict[tuple[str, FleetKey], str] = field(default_factory=dict)
    _files: dict[tuple[str, str, Layout], ManifestFile] = field(default_factory=dict)

    def has(self, oid: str) -> bool:
        """Return whether an object is here, in whatever state."""
        return pygit2.Oid(hex=oid) in self.repository.odb

    def was_given(self, oid: str) -> bool:
        """Return whether an object is in what the auditor was given: then all below it must be there too."""
        return pygit2.Oid(hex=oid) in (self.given or self.repository).odb

    def corpus(self, tree: str) -> Corpus:
        """Return a snapshot with its manifests read; raise `MalformedError` where objects are missing or damaged."""
        if tree not in self._corpora:
            near = next(reversed(self._corpora.values())).tree if self._corpora else None
            listed = CommitTree(self.repository, tree, near=near if isinstance(near, CommitTree) else None)
            self._corpora[tree] = load(listed, read=self._read)
            while len(self._corpora) > KEPT:
                self._corpora.popitem(last=False)
        return self._corpora[tree]

    def compiled(self, tree: str, fleet: FleetKey) -> Compiled:
        """Return a fleet as a tree compiles it; raise `KeyError` if it has no such fleet, else as `compile_fleet` and `corpus`."""
        if (tree, fleet) not in self._compiled:
            corpus = self.corpus(tree)
            self._compiled[tree, fleet] = compile_fleet(corpus.world, corpus.tree, fleet, format=bundle_format(corpus))
            self._digests[tree, fleet] = self._compiled[tree, fleet].digest
            while len(self._compiled) > KEPT_FLEETS:
                self._compiled.popitem(last=False)
        return self._compiled[tree, fleet]

    def digest(self, tree: str, fleet: FleetKey) -> str:
        """Return the digest that a tree compiles a fleet to, which is kept for good; raise as `compiled`."""
        return self._digests.get((tree, fleet)) or self.compiled(tree, fleet).digest

    def _read(self, tree: Tree, path: str, layout: Layout) -> ManifestFile:
        key = (path, tree.entries[path].oid, layout)
        if key not in self._files:
            self._files[key] = read_file(tree, path, layout, oid=key[1])
        return self._files[key]
