"""The releases of one fleet, one after the other: by which decision, of whose commits, published when, and what each changed."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pygit2

from agent.protocol.errors import OrdainError
from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.findings import named
from reconciler.pipeline.plan.hosts import Crowd, crowd
from reconciler.pipeline.plan.states import differing
from reconciler.pipeline.source.commits import CommitInfo, commit_info, commits_between
from reconciler.pipeline.trail.decided import Decided
from reconciler.pipeline.trail.released import Published, published
from reconciler.pipeline.trail.trees import Trees
from reconciler.publication.store import Store

NAMED = 4
"""Things that one line names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release of a fleet; `changes` says in words what is other than in the one before, `published` when hosts were offered it.

    `commit` is the newest of those since the release before that touched what the fleet is made of, `commits` how many did, and `signers`
    who signed them. Where none did, or they are not here, it is the head that was decided about (None: it is not here either).
    """

    digest: str
    decision: Decided
    commit: CommitInfo | None
    commits: int
    signers: tuple[str, ...]
    changes: str
    published: str = ""
    serial: int = 0


def releases_of(decisions: Sequence[Decided], trees: Trees, store: Store | None, fleet: str) -> Iterator[Release]:
    """Yield the releases of a fleet, `tenant/name`, oldest first."""
    offered = published(store, fleet) if store is not None else []
    before: tuple[Decided, Compiled | None] | None = None
    for decision in decisions:
        if fleet not in decision.releases:
            continue
        compiled = _compiled(trees, decision, fleet)
        until, brought = _next(decisions, decision, fleet), _brought(trees.repository, before, decision, compiled)
        first = _first_offer(offered, decision.releases[fleet], decision.at, until)
        yield Release(
            digest=decision.releases[fleet],
            decision=decision,
            commit=brought[-1] if brought else _commit(trees.repository, decision.head),
            commits=len(brought) or 1,
            signers=_signers(decisions, {one.sha for one in brought} or {decision.head}),
            changes=_changes(before, decision, compiled, fleet),
            published=first.at if first else "",
            serial=first.serial if first else 0,
        )
        before = decision, compiled


def _next(decisions: Sequence[Decided], decision: Decided, fleet: str) -> str:
    """Return when the next release of a fleet was decided, or a time after all others."""
    return next((one.at for one in decisions if one.sequence > decision.sequence and fleet in one.releases), "9")


def _first_offer(offered: Sequence[Published], digest: str, since: str, until: str) -> Published | None:
    """Return the rollout document that first offered a release: until the next one was decided, and a little later."""
    fitting = [one for one in offered if one.digest == digest and one.at >= since]
    return next((one for one in fitting if one.at < until), fitting[0] if fitting else None)


def _compiled(trees: Trees, decision: Decided, fleet: str) -> Compiled | None:
    tenant, _, name = fleet.partition("/")
    try:
        found = trees.compiled(decision.tree, (tenant, name))
    except (OrdainError, KeyError):
        return None
    return found if found.digest == decision.releases[fleet] else None


def _brought(
    repository: pygit2.Repository, before: tuple[Decided, Compiled | None] | None, decision: Decided, compiled: Compiled | None
) -> list[CommitInfo]:
    """Return the commits since the release before that touched what the fleet was or is made of, oldest first."""
    if before is None or before[1] is None or compiled is None:
        return []
    depends = before[1].depends | compiled.depends
    try:
        found = commits_between(repository, before[0].head, decision.head)
    except (OrdainError, KeyError):
        return []
    return [one for one in found if len(one.parents) < 2 and not depends.isdisjoint(one.paths)]  # noqa: PLR2004 - a merge brings others' work


def _signers(decisions: Sequence[Decided], commits: Collection[str]) -> tuple[str, ...]:
    """Return who signed some commits, by the records of the decisions that they came with."""
    recorded = (one for decision in decisions if decision.record is not None for one in decision.record.commits)
    return tuple(sorted({one.signer for one in recorded if one.signer and one.sha in commits}))


def _commit(repository: pygit2.Repository, sha: str) -> CommitInfo | None:
    try:
        return commit_info(repository, repository[sha].peel(pygit2.Commit))
    except (OrdainError, KeyError, ValueError, pygit2.GitError):
        return None


def _changes(before: tuple[Decided, Compiled | None] | None, decision: Decided, compiled: Compiled | None, fleet: str) -> str:
    if before is None:
        members = len({**compiled.pools, **compiled.agents}) if compiled is not None else 0
        return f"the first, with {members} member{'' if members == 1 else 's'}" if compiled is not None else "the first"
    if before[1] is None or compiled is None:
        same = before[0].releases[fleet] == decision.releases[fleet]
        return (
            "the same bundle for other members"
            if same
            else "can't be told here: objects of a commit are missing, or files of it were refused"
        )
    return "; ".join(_differences(before[1], compiled)) or "nothing on any host"


def _differences(old: Compiled, new: Compiled) -> Iterator[str]:
    both = crowd(old, new)
    for word, names in (("joined", both.joining()), ("left", both.leaving())):
        if names:
            yield f"{word}: {named(sorted(names), limit=NAMED)}"
    changed: dict[str, set[str]] = {}
    for before, after in _pairs(both):
        for pair in differing(old.bundle.groups[before].base, new.bundle.groups[after].base):
            changed.setdefault(pair.change, set()).add(pair.name)
    yield from (f"{change}: {named(sorted(names), limit=NAMED)}" for change, names in sorted(changed.items()))
    if not changed and old.digest != new.digest and not (both.joining() or both.leaving()):
        yield "modes alone"


def _pairs(both: Crowd) -> set[tuple[str, str]]:
    return {(before, after) for before, after, _ in both.staying()}
