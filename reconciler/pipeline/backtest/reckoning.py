"""From what steps brought to what is told: refusals with their lines and authors, incidents, and what was undone later.

A refused commit counts as a false alarm where nothing shows that it did harm: no later commit says that it reverts it, none puts a
refused file back as it was before, and nobody names it an incident. That is an estimate, and an upper bound where people mend
forward: who mends by another change, and says so nowhere, makes a good catch look like a false alarm.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pygit2

from reconciler.pipeline.backtest.history import History, Step, authors
from reconciler.pipeline.backtest.shape import Brought, Incident, Refusal, Side, Unread
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.positions import verdict
from reconciler.pipeline.source import CommitTree, resolve
from reconciler.pipeline.source.directories import EMPTY_TREE, changes_between


def side_of(repository: pygit2.Repository, history: History, brought: Sequence[tuple[Step, Brought]], *, prefix: str = "") -> Side:
    """Return what one judge finds in all steps.

    Raises:
        MalformedError: an object is missing or damaged.
    """
    undone = _undone(repository, history, [(step, {one.place.file for one in what.findings}) for step, what in brought])
    refusals: list[Refusal] = []
    troubles: list[Refusal] = []
    for step, what in brought:
        for one in _refusals(repository, step, what.findings, undone=step.info.sha in undone, prefix=prefix):
            (troubles if one.verdict.action == "error" else refusals).append(one)
    return Side(
        refusals=tuple(refusals),
        troubles=tuple(troubles),
        unread=tuple(Unread(commit=step.info.sha, file=file, message=why) for step, what in brought for file, why in what.unread),
        waived=sum(what.waived for _, what in brought),
    )


def incidents_of(repository: pygit2.Repository, history: History, side: Side, revisions: Iterable[str]) -> tuple[Incident, ...]:
    """Return whether each of the given commits would have been caught: refused with the step that brought it.

    Raises:
        InputError: a revision names no commit.
    """
    found = []
    for revision in revisions:
        sha = resolve(repository, revision)
        number = history.step_of(sha)
        step = history.steps[number].info.sha if number is not None else None
        by = tuple(one for one in side.refusals if one.commit == step)
        found.append(Incident(revision=revision, commit=sha, step=step, by=by))
    return tuple(found)


def _refusals(repository: pygit2.Repository, step: Step, findings: Sequence[Finding], *, undone: bool, prefix: str) -> Iterable[Refusal]:
    if not findings:
        return
    tree = CommitTree(repository, step.tree or EMPTY_TREE)
    wrote = authors(repository, step, {one.place.file for one in findings}, prefix)
    for one in findings:
        name, address = wrote[one.place.file]
        yield Refusal(
            commit=step.info.sha,
            time=step.info.time,
            subject=step.info.subject,
            author=name,
            email=address,
            verdict=verdict(one, tree.read),
            undone=undone,
        )


def _undone(repository: pygit2.Repository, history: History, refused: Sequence[tuple[Step, set[str]]]) -> set[str]:
    """Return the steps of which a later one says that it reverts them, or puts one of their refused files back as it was before."""
    waiting: dict[tuple[str, str], set[str]] = {}
    files = {step.info.sha: paths for step, paths in refused if paths}
    brought: dict[str, str] = {}
    found: set[str] = set()
    for step in history.steps:
        found |= {brought[sha] for sha in step.reverts if sha in brought}
        changes = {path: (was, now) for path, was, now in changes_between(repository, step.before, step.tree)} if files else {}
        for path, (_, now) in changes.items():
            found |= waiting.pop((path, now[1]), set()) if now else set()
        for path in files.get(step.info.sha, ()):
            was = changes.get(path, (None, None))[0]
            if was is not None:  # what was added may go for many reasons
                waiting.setdefault((path, was[1]), set()).add(step.info.sha)
        brought |= dict.fromkeys(step.brought, step.info.sha)
    return found


def apart(brought: Iterable[tuple[Step, tuple[Brought, Brought]]]) -> tuple[list[tuple[Step, Brought]], list[tuple[Step, Brought]], int]:
    """Return what only the first of two judges found, what only the second one did, and how many findings both have."""
    first, second, same = [], [], 0
    for step, (one, other) in brought:
        known, there = {_key(each) for each in other.findings}, {_key(each) for each in one.findings}
        new = tuple(each for each in one.findings if _key(each) not in known)
        same += len(one.findings) - len(new)
        first.append((step, replace(one, findings=new)))
        second.append((step, replace(other, findings=tuple(each for each in other.findings if _key(each) not in there))))
    return first, second, same


def _key(one: Finding) -> tuple[object, ...]:
    return one.rule, one.object, one.place, one.message
