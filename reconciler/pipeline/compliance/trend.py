"""The same measure at earlier commits: rules of today on the objects of then, so that it shows the repository and not the rules.

Only rules about objects that don't read the change are asked, since versions of manifests need be judged only once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

import pygit2

from reconciler.pipeline.acceptance.corpus import Corpus, ManifestFile, load, read_file
from reconciler.pipeline.acceptance.excusing import as_found, waivers_of
from reconciler.pipeline.acceptance.judgement import Judges
from reconciler.pipeline.acceptance.proposal import source_texts
from reconciler.pipeline.backtest.asking import Asker
from reconciler.pipeline.backtest.history import Step
from reconciler.pipeline.backtest.versions import Version
from reconciler.pipeline.compliance.census import Mark, take, totals
from reconciler.pipeline.compliance.rulebook import level_of
from reconciler.pipeline.compliance.shape import Point
from reconciler.pipeline.manifests import Document, Layout
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.source.directories import EMPTY_TREE
from reconciler.pipeline.source.trees import CommitTree
from reconciler.pipeline.tree import Tree
from reconciler.pipeline.waivers import excuse
from reconciler.publication.times import instant

_Known = dict[tuple[str, str, Layout], ManifestFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What commits are measured by: a judge with its levels of today, and who asks its rules, each at audit."""

    judge: Judge
    asker: Asker


def chosen(steps: Sequence[Step], points: int) -> list[Step]:
    """Return at most so many steps: the newest, the oldest, and of equal spans of time between them the last of each."""
    if len(steps) <= points:
        return list(steps)
    times = [instant(step.info.time, what="the time of a commit").timestamp() for step in steps]
    first, last = min(times), max(times)
    wide = max(1.0, (last - first) / max(1, points - 1))
    by_span = {min(points - 1, ceil((time - first) / wide)): step.info.sha for step, time in zip(steps, times, strict=True)}
    found = set(by_span.values())
    return [step for step in steps if step.info.sha in found]


def trend(repository: pygit2.Repository, steps: Sequence[Step], measure: Measure, told: Callable[[int], None]) -> Iterator[Point]:
    """Yield how much conformed at each step; `told` hears how many are done.

    Raises:
        MalformedError: an object of the repository is missing or damaged.
        RetryError: OPA does not come up any more.
    """
    known: _Known = {}
    near: CommitTree | None = None
    for number, step in enumerate(steps, 1):
        near = CommitTree(repository, step.tree or EMPTY_TREE, near=near)
        corpus = load(near, read=lambda tree, path, layout: _once(known, tree, path, layout))
        objects, agents = totals(take(corpus.world, _marks(corpus, measure, step.info.time)))
        yield Point(time=step.info.time, commit=step.info.sha, objects=objects, agents=agents)
        told(number)


def _once(known: _Known, tree: Tree, path: str, layout: Layout) -> ManifestFile:
    oid = tree.entries[path].oid
    key = (path, oid, layout)
    if key not in known:
        known[key] = read_file(tree, path, layout, oid=oid)
    return known[key]


def _marks(corpus: Corpus, measure: Measure, now: str) -> Iterator[Mark]:
    versions = [_as_it_stands(one, corpus.tree) for one in corpus.objects.values()]
    answers = measure.asker.ask(versions)
    found = [(one, version.document) for version in versions for one in answers[measure.asker.key(version)]]
    judges = Judges(before=measure.asker.policies)
    shown = [as_found(one, judges, document if one.place.file == document.path else None) for one, document in found]
    by = excuse(shown, waivers_of(corpus.world), now).by
    for number, (one, document) in enumerate(found):
        if document.name is not None and one.action != "error":
            level = level_of(measure.judge, one.rule, document)
            yield Mark(rule=one.rule, level=level, object=document.name, waived=number in by)


def _as_it_stands(document: Document, tree: Tree) -> Version:
    version = Version(document=document, sources=source_texts(document, tree))
    return replace(version, old=version)
