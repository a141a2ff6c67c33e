"""The whole proof, step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pygit2
from securesystemslib.signer import Key

from reconciler.pipeline.manifests import Document
from reconciler.pipeline.proof.bundles import ReleaseKeys, Shelf, check_bundles
from reconciler.pipeline.proof.notes import check_notes
from reconciler.pipeline.proof.records import check_records, since_of
from reconciler.pipeline.proof.replay import Replaying, check_verdicts
from reconciler.pipeline.proof.shape import Report, Unproven
from reconciler.pipeline.proof.trees import bring_objects, check_trees
from reconciler.pipeline.remembered.replays import Replays
from reconciler.pipeline.trail.scratch import attach, scratch
from reconciler.pipeline.trail.trees import Trees
from reconciler.publication.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Proving:
    """What is proven from: git, a store or a part of one, and public keys. Without `opa` no verdict is replayed.

    `since` is the number of a decision or a time from which on is looked at; empty: all. The chain of records is always looked at whole.
    """

    repository: pygit2.Repository
    store: Store
    decision_keys: Sequence[Key]
    release_keys: ReleaseKeys
    opa: Path | None = None
    known: Replays[str] | None = None
    """What a run that was stopped has worked out; with `opa` alone."""
    pinned: tuple[Document, ...] = ()
    since: str = ""


def prove(given: Proving, said: Callable[[str], None]) -> Report:
    """Return what could be proven; `said` is told what is being done.

    Raises:
        InputError: there is nothing since then.
        RetryError: OPA, ssh-keygen or gpg is needed and can't be run.
    """
    report = Report()
    said("verifying records")
    chain = check_records(given.store, given.decision_keys, report)
    if not chain.records:
        why = "no record of a decision holds, so notes, trees and bundles have nothing to be held to"
        report.take("record", [Unproven(what="decisions", where="approved/_decisions/", why=why)])
        return report
    first = since_of(chain, given.since) if given.since else 1
    check_notes(given.repository, chain, first, report, version=version("ordain"))
    with scratch() as whole:
        said("reading git objects")
        bring_objects(given.store, whole, chain, report)
        attach(whole, given.repository)
        trees = Trees(repository=whole, given=given.repository)
        said("compiling what was released")
        records = check_trees(trees, chain, first, report)
        check_bundles(Shelf(store=given.store, keys=given.release_keys, records=records, trees=trees, first=first), report, said)
        if given.opa is None or given.known is None:
            report.take("verdicts", [Unproven(what="verdicts", where="all decisions", why="they were not replayed, as was asked")])
        else:
            check_verdicts(Replaying(trees=trees, opa=given.opa, known=given.known, pinned=given.pinned), chain, first, report, said)
    return report
