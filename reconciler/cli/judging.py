"""From a fleet repository on this machine to a decision on it: as a first import, or as a change of a base."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.pipeline.acceptance import EMPTY_CORPUS, Appointment, Corpus, Decision, Facts, Judges, Released, appoint, decide, loosened
from reconciler.pipeline.acceptance.corpus import load, read_file
from reconciler.pipeline.compile.affected import affected
from reconciler.pipeline.compile.compiler import Compiled, CompileRefused, compile_fleet
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.manifests import Layout, is_manifest
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.tree import EMPTY, Difference, Tree, difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a change starts from, all of it taken as accepted: a commit, its tree, and the commits since."""

    revision: str
    tree: Tree
    commits: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A decision, and who made it: the judge before the change (None at a first import), and the change's own (None: the same)."""

    decision: Decision
    before: Judge | None
    own: Judge | None
    loosened: tuple[str, ...] = ()

    @property
    def judges(self) -> tuple[Judge, ...]:
        """Those that there are, the change's own last."""
        return tuple(judge for judge in (self.before, self.own) if judge is not None)


def judge_tree(tree: Tree, *, opa: Path, now: str, revision: str | None) -> Judgement:
    """Decide on a whole snapshot as if it were a first import.

    Raises:
        RetryError: OPA can't be run.
    """
    return _judge(EMPTY_CORPUS, tree, difference(EMPTY, tree), None, opa=opa, facts=Facts(before=None, head=revision, now=now))


def judge_change(base: Base, tree: Tree, *, opa: Path, now: str, revision: str | None) -> Judgement:
    """Decide on the change from `base` to a snapshot, as a reconcile would that had accepted all of the base.

    Raises:
        RetryError: OPA can't be run.
    """
    corpus = load(base.tree)
    before = appoint(base.tree, opa=opa)
    facts = Facts(before=base.revision, head=revision, now=now, commits=base.commits)
    return _judge(corpus, tree, difference(base.tree, tree), before, opa=opa, facts=facts)


def _judge(base: Corpus, head: Tree, changed: Difference, before: Appointment | None, *, opa: Path, facts: Facts) -> Judgement:
    after = appoint(head, opa=opa)
    first = before.judge if before is not None else None
    own = after.judge if after.judge is not None and (first is None or first.digest != after.judge.digest) else None
    counted = after if after.judge is not None or before is None else before
    said = loosened(first, own)
    with _asked(first, own, opa) as (asked, asked_own):
        decision = decide(
            base,
            head,
            changed,
            layout=counted.layout,
            judges=Judges(before=asked, own=asked_own, refused=after.findings, loosened=said),
            facts=facts,
            released=_released(base, head, changed, layout=counted.layout, bundle_format=before.bundle_format if before is not None else 1),
            bundle_format=counted.bundle_format,
        )
    return Judgement(decision=decision, before=first, own=own, loosened=said)


@contextmanager
def _asked(first: Judge | None, own: Judge | None, opa: Path) -> Iterator[tuple[Policies | None, Policies | None]]:
    with ExitStack() as stack:
        running = [stack.enter_context(Policies(judge, opa=opa)) if judge is not None else None for judge in (first, own)]
        yield running[0], running[1]


def _released(base: Corpus, head: Tree, changed: Difference, *, layout: Layout, bundle_format: int) -> Released:
    """Return what the base's fleets that the change concerns were compiled to; those that did not compile had no release."""
    compiled: dict[FleetKey, Compiled] = {}
    if not base.objects:
        return Released()
    for fleet in _concerned(base, head, changed, layout):
        try:
            compiled[fleet] = compile_fleet(base.world, base.tree, fleet, format=bundle_format)
        except CompileRefused:
            continue
    return Released(compiled=compiled)


def _concerned(base: Corpus, head: Tree, changed: Difference, layout: Layout) -> set[FleetKey]:
    if layout != base.layout:
        return {(name.tenant, name.name) for name in base.objects if name.kind == "Fleet"}
    present = {path for path in changed.touched if path in head.entries and is_manifest(path, layout)}
    wished = {path: read_file(head, path, layout).documents if path in present else () for path in changed.touched}
    world = base.world.replace(wished)
    return {fleet for fleet in affected(base.world, world, changed.touched) if base.world.fleet(fleet)}
