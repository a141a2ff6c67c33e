"""Replaying rules of any scope: step by step, with every release compiled and the change as its rules see it.

It takes the very parts that decide on a commit, and leaves out only the refusing: what would have been refused went on to be merged.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pygit2

from reconciler.pipeline.acceptance.change import Facts, change_input
from reconciler.pipeline.acceptance.corpus import EMPTY_CORPUS, Corpus, load, read_layout
from reconciler.pipeline.acceptance.decision import accepted_corpus
from reconciler.pipeline.acceptance.excusing import excused, placed, waivers_of
from reconciler.pipeline.acceptance.judgement import Judged, Judges, judge_change, judge_objects, judge_release
from reconciler.pipeline.acceptance.proposal import Proposal, companions, propose
from reconciler.pipeline.acceptance.structure import Structure, settle
from reconciler.pipeline.backtest.history import Step
from reconciler.pipeline.backtest.shape import Brought
from reconciler.pipeline.compile.compiler import Compiled, CompileRefused, compile_fleet
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.examine import listed_commits
from reconciler.pipeline.signatures.reviewed import Review
from reconciler.pipeline.source.commits import commits_between
from reconciler.pipeline.source.directories import EMPTY_TREE, diff_trees
from reconciler.pipeline.source.trees import CommitTree, PatchedTree
from reconciler.pipeline.tree import Tree, difference

Unread = tuple[tuple[str, str], ...]
Deciders = Callable[[Step], Sequence[Judges]]
"""Who judges a step: several at once see the same change."""


class Whole:
    """A replay of one history, step after step."""

    def __init__(self, repository: pygit2.Repository, deciders: Deciders) -> None:
        """Read from `repository`; `deciders` says for each step who judges it."""
        self._repository, self._deciders = repository, deciders
        self._corpus: Corpus = EMPTY_CORPUS
        self._at: str | None = None
        self._near: CommitTree | None = None

    def look(self, step: Step) -> tuple[Brought, ...]:
        """Return what a step brought by each of its judges. Steps come in their order; the first may be any.

        Raises:
            MalformedError: an object of the repository is missing or damaged.
            RetryError: OPA does not come up any more.
        """
        if self._at != step.before:
            self._corpus = load(self._tree(step.before)) if step.before is not None else EMPTY_CORPUS
        head = self._tree(step.tree)
        proposal = propose(self._corpus, head, difference(self._corpus.tree, head), read_layout(head))
        structure = settle(proposal, _illegible(proposal), companions(proposal), frozenset(), bundle_format=1)
        released = dict(_released(self._corpus, structure.compiled))
        facts = _facts(self._repository, step)
        change = change_input(facts, proposal, structure.compiled, released, ())
        own = diff_trees(self._repository, step.before, step.tree).touched if step.tree is not None else frozenset()
        unread = tuple(sorted((path, why) for path, why in structure.refused.items() if path in own))
        found = [(judges, _judged(judges, proposal, structure, released, change)) for judges in self._deciders(step)]
        self._corpus = replace(accepted_corpus(proposal, structure), tree=self._merged(head, structure.refused))
        self._at = step.tree
        return tuple(_brought((proposal, structure, facts.now), judges, judged, unread) for judges, judged in found)

    def _tree(self, oid: str | None) -> CommitTree:
        self._near = CommitTree(self._repository, oid or EMPTY_TREE, near=self._near)
        return self._near

    def _merged(self, head: CommitTree, refused: Iterable[str]) -> Tree:
        """Return the head with what could not be accepted as it was: from there it is tried again at the next step."""
        before = self._corpus.tree.entries
        kept = {path: before[path].oid if path in before else None for path in refused}
        return PatchedTree(head, kept) if kept else head


def _illegible(proposal: Proposal) -> dict[str, str]:
    return {one.place.file: one.message for one in proposal.findings if one.action in ("deny", "error")}


def _released(base: Corpus, compiled: Iterable[FleetKey]) -> Iterator[tuple[FleetKey, Compiled]]:
    """Yield what fleets were compiled to before; those that did not compile had no release."""
    for fleet in compiled:
        if base.world.fleet(fleet):
            with contextlib.suppress(CompileRefused):
                yield fleet, compile_fleet(base.world, base.tree, fleet)


def _judged(
    judges: Judges, proposal: Proposal, structure: Structure, released: Mapping[FleetKey, Compiled], change: Mapping[str, Any]
) -> list[Judged]:
    found = [*judge_objects(proposal, judges, change), *judge_change(judges, change)]
    for fleet, new in sorted(structure.compiled.items()):
        old = released.get(fleet)
        if old is None or (old.digest, old.agents, old.pools) != (new.digest, new.agents, new.pools):
            found += judge_release(judges, new, old, change)
    return found


def _brought(case: tuple[Proposal, Structure, str], judges: Judges, judged: Sequence[Judged], unread: Unread) -> Brought:
    proposal, structure, now = case
    told, _ = excused(judged, waivers_of(structure.world), judges, now, placed(proposal))
    return Brought(
        findings=tuple(one.finding for one in told if one.blocking),
        waived=sum(one.waived is not None and not one.standing and one.finding.action == "deny" for one in told),
        unread=unread,
    )


def _facts(repository: pygit2.Repository, step: Step) -> Facts:
    commits = commits_between(repository, step.parent, step.info.sha)
    return Facts(
        before=step.parent,
        head=step.info.sha,
        now=step.info.time,
        commits=listed_commits(commits, Review(required=False)),
    )
