"""What chosen rules find in all of a snapshot, whatever their level: as at a first import, with nothing refused by any of them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.pipeline.acceptance import EMPTY_CORPUS, Decision, Facts, Judges, decide
from reconciler.pipeline.acceptance.corpus import read_file
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import REPOSITORY_FILE, Layout, layout_of
from reconciler.pipeline.policy.evaluate import Policies, Serving
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.tree import EMPTY, Tree, difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found, and of how many manifests; `refused` is what keeps manifests from being judged at all."""

    findings: tuple[Finding, ...]
    refused: tuple[Finding, ...]
    manifests: int
    decision: Decision
    """The whole of it: what is excused, and the world that was looked at."""


def survey(tree: Tree, judge: Judge, rules: Collection[str], *, opa: Path, now: str, server: Serving | None = None) -> Survey:
    """Ask `rules` of a judge about all objects and releases of a snapshot, and about it as a change.

    `server` takes the place of an OPA, for who only wants to see the questions. `now` is RFC 3339 in UTC.

    Raises:
        RetryError: OPA can't be run.
    """
    hearing = replace(judge, levels=judge.levels.hearing(frozenset(rules)))
    with Policies(hearing, opa=opa, server=server) as policies:
        decision = decide(
            EMPTY_CORPUS,
            tree,
            difference(EMPTY, tree),
            layout=_layout(tree),
            judges=Judges(before=None, own=policies),
            facts=Facts(before=None, head=None, now=now),
        )
    found = tuple(one.finding for one in decision.judged)
    return Survey(
        findings=tuple(one for one in found if one.rule in rules),
        refused=tuple(one for one in found if one.rule not in rules and one.action in ("deny", "error")),
        manifests=decision.manifests,
        decision=decision,
    )


def _layout(tree: Tree) -> Layout:
    """Return how a snapshot says that it is read; as if it said nothing where it has no readable `ordain.yaml`."""
    if REPOSITORY_FILE not in tree.entries:
        return Layout()
    documents = read_file(tree, REPOSITORY_FILE, Layout()).documents
    return layout_of(next((one for one in documents if one.kind == "Repository"), None))
