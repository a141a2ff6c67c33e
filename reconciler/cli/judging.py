"""From a fleet repository on this machine to a decision on it: as a first import, or as a change of a base."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.protocol.codec import sha256
from reconciler.cli.collecting import uncollected
from reconciler.cli.memory import Memory, said_of
from reconciler.cli.sources import Base
from reconciler.pipeline.acceptance import EMPTY_CORPUS, Appointment, Corpus, Decision, Facts, Judges, Released, appoint, decide, loosened
from reconciler.pipeline.acceptance.corpus import ManifestFile, Reader, load, read_file
from reconciler.pipeline.acceptance.judgement import judge_change
from reconciler.pipeline.compile.affected import affected
from reconciler.pipeline.compile.compiler import Compiled, CompileRefused, compile_fleet
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Layout, is_manifest
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.remembered.answers import KnownAnswers
from reconciler.pipeline.remembered.bases import KnownBases
from reconciler.pipeline.remembered.identity import identity
from reconciler.pipeline.remembered.manifests import KnownManifests
from reconciler.pipeline.signatures.reviewed import Review, required
from reconciler.pipeline.tree import EMPTY, Difference, Tree, difference
from reconciler.publication.times import instant

Told = Callable[[str], None]
"""What is told at which step a check is."""
STEP = 500
"""Files between two words about reading them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A decision, and who made it: the judge before the change (None at a first import), and the change's own (None: the same)."""

    decision: Decision
    before: Judge | None
    own: Judge | None
    loosened: tuple[str, ...] = ()
    review: Review = field(default_factory=lambda: Review(required=False))
    """Who signed what; where signatures are on in the base, what that refuses is in the decision."""

    @property
    def judges(self) -> tuple[Judge, ...]:
        """Those that there are, the change's own last."""
        return tuple(judge for judge in (self.before, self.own) if judge is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What judging needs besides what is judged: an OPA, what is remembered (or nothing), and who is told how far it is."""

    opa: Path
    memory: Memory | None = None
    told: Told = lambda _: None
    eager: bool = False
    """Whether OPA will be needed for certain, and so starts before anything is read."""

    def appoint(self, tree: Tree) -> Appointment:
        """Return the judge that a snapshot brings."""
        return appoint(tree, opa=self.opa, reports=self.memory.reports if self.memory is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A judgement while its judges can still be asked, with both sides of what was judged.

    `changed` says where they differ, `released` what the base's fleets that this concerns were compiled to.
    """

    judgement: Judgement
    judges: Judges
    base: Corpus
    head: Tree
    changed: Difference
    released: Released
    bundle_format: int
    layout: Layout


def judge(tree: Tree, base: Base | None, *, bench: Bench, now: str, revision: str | None) -> Judgement:
    """Decide on a snapshot: all of it as a first import, or the change from `base` as a reconcile that had accepted all of that.

    Raises:
        RetryError: OPA can't be run.
    """
    with opened(tree, base, bench=bench, now=now, revision=revision) as found:
        return found.judgement


@contextmanager
def opened(tree: Tree, base: Base | None, *, bench: Bench, now: str, revision: str | None) -> Iterator[Opened]:
    """Decide as `judge` does, and keep the judges at hand until the end of the block.

    Raises:
        RetryError: OPA can't be run.
    """
    with uncollected(), _recalled(bench, base) as (known, recalled):
        read = _counted(known.read if known is not None else read_file, bench.told)
        before = bench.appoint(base.tree) if base is not None else None
        after = bench.appoint(tree)
        changed = difference(base.tree if base is not None else EMPTY, tree)
        facts = Facts(before=base.revision if base else None, head=revision, now=now, commits=base.commits if base else ())
        same = recalled is not None and recalled.layout == after.layout
        unread = changed.added | changed.changed if same else tree.entries
        ahead = known.ahead(tree, unread, after.layout) if known is not None else nullcontext()
        with ahead, _asked(*_judges(before, after, now), bench) as asked:
            corpus = recalled if recalled is not None else _loaded(base, bench, known, read)
            reviewed = _review(corpus, base, changed, after.layout, now)
            yield _judge(corpus, tree, changed, (before, after), asked=asked, read=read, facts=_signed(facts, reviewed), reviewed=reviewed)


@contextmanager
def _recalled(bench: Bench, base: Base | None) -> Iterator[tuple[KnownManifests | None, Corpus | None]]:
    """Yield what is known of manifests, and the base as it was put together before; None for what is not. What was learnt is kept."""
    if bench.memory is None:
        yield None, None
        return
    known = KnownManifests(bench.memory.sealed, f"manifests-{identity()[:32]}")
    yield known, _bases(bench.memory, known).get(base.tree) if base is not None else None
    known.save()
    bench.memory.told = f"{known.reused} files known, {known.read_anew} read; {bench.memory.told}"


def _bases(memory: Memory, known: KnownManifests) -> KnownBases:
    return KnownBases(memory.sealed, known, identity())


def _loaded(base: Base | None, bench: Bench, known: KnownManifests | None, read: Reader) -> Corpus:
    """Return the base put together anew, and keep that."""
    if base is None:
        return EMPTY_CORPUS
    corpus = load(base.tree, read=read)
    if bench.memory is not None and known is not None:
        _bases(bench.memory, known).put(corpus)
    return corpus


def _judge(
    base: Corpus,
    head: Tree,
    changed: Difference,
    appointed: tuple[Appointment | None, Appointment],
    *,
    asked: tuple[Policies | None, Policies | None],
    read: Reader,
    facts: Facts,
    reviewed: Review,
) -> Opened:
    before, after = appointed
    first, own = _judges(before, after, facts.now)
    counted = after if after.judge is not None or before is None else before
    said = loosened(first, own, facts.now)
    judges = Judges(before=asked[0], own=asked[1], refused=after.findings, loosened=said)
    released = _released(base, head, changed, layout=counted.layout, bundle_format=before.bundle_format if before is not None else 1)
    decision = decide(
        base,
        head,
        changed,
        layout=counted.layout,
        judges=judges,
        facts=facts,
        released=released,
        bundle_format=counted.bundle_format,
        read=read,
    )
    return Opened(
        judgement=Judgement(decision=decision, before=first, own=own, loosened=said, review=reviewed),
        judges=judges,
        base=base,
        head=head,
        changed=changed,
        released=released,
        bundle_format=counted.bundle_format,
        layout=counted.layout,
    )


def _review(corpus: Corpus, base: Base | None, changed: Difference, layout: Layout, now: str) -> Review:
    """Return who signed what a change brings, by the signers of its base; files that are not committed yet are nobody's."""
    if base is None or base.place is None or base.newest is None or not required(corpus):
        return Review(required=base is not None and required(corpus))
    from reconciler.pipeline.signatures.review import review  # noqa: PLC0415 - a twentieth of a second, where there is something to look at

    return review(
        base.place.git(),
        corpus,
        base.newest,
        since=base.revision,
        changed=changed,
        layout=layout,
        now=instant(now, what="the time of the check"),
        prefix=base.place.prefix,
        trial=True,
    )


def _signed(facts: Facts, reviewed: Review) -> Facts:
    commits = tuple({**commit, "signer": reviewed.signers.get(commit["sha"])} for commit in facts.commits)
    return replace(facts, commits=commits, signatures=reviewed.findings)


def _judges(before: Appointment | None, after: Appointment, now: str) -> tuple[Judge | None, Judge | None]:
    """Return the judge before a change and its own where that is another one, with the levels of that time."""
    first = before.judge.on(now) if before is not None and before.judge is not None else None
    own = after.judge.on(now) if after.judge is not None else None
    return first, own if own is not None and (first is None or first.digest != own.digest) else None


def changes_said(judged: Iterable[Finding]) -> str:
    """Return a digest of what change rules said."""
    return said_of(
        {"rule": one.rule, "action": one.action, "message": one.message, "file": one.place.file} for one in judged if one.scope == "change"
    )


def ask_again(tree: Tree, base: Base | None, change: Mapping[str, Any], *, bench: Bench, now: str) -> str:
    """Return a digest of what change rules say now of a change that was judged before (see `changes_said`).

    Raises:
        RetryError: OPA can't be run.
    """
    first, own = _judges(bench.appoint(base.tree) if base is not None else None, bench.appoint(tree), now)
    with _asked(first, own, bench) as (asked, asked_own):
        found = judge_change(Judges(before=asked, own=asked_own), {**change, "now": now})
    return changes_said(one.finding for one in found)


@contextmanager
def _asked(first: Judge | None, own: Judge | None, bench: Bench) -> Iterator[tuple[Policies | None, Policies | None]]:
    """Yield those who are asked. Their OPA starts at once where it is needed for certain, else at the first question."""
    with ExitStack() as stack:
        running = [_policies(judge, bench, stack) if judge is not None else None for judge in (first, own)]
        yield running[0], running[1]


def _policies(judge: Judge, bench: Bench, stack: ExitStack) -> Policies:
    if bench.memory is None:
        policies = Policies(judge, opa=bench.opa)
        policies.begin()
    else:
        status = bench.opa.stat()
        name = sha256(f"{judge.digest} {judge.levels.phase} {identity()} {bench.opa} {status.st_size} {status.st_mtime_ns}".encode())
        answers = KnownAnswers(bench.memory.sealed, f"answers-{name[:32]}")
        policies = Policies(judge, opa=bench.opa, known=answers)
        if answers.empty or bench.eager:
            policies.begin()
        stack.callback(_save, answers, bench)
    stack.push(policies)
    return policies


def _save(answers: KnownAnswers, bench: Bench) -> None:
    answers.save()
    if bench.memory is not None:
        bench.memory.told = f"{answers.reused} verdicts known, {answers.asked} asked; {bench.memory.told}"


def _counted(read: Reader, told: Told) -> Reader:
    totals: dict[int, int] = {}
    numbers: dict[int, int] = {}

    def counted(tree: Tree, path: str, layout: Layout) -> ManifestFile:
        if id(tree) not in totals:
            totals[id(tree)] = sum(is_manifest(each, layout) for each in tree.entries)
        total = totals[id(tree)]
        number = numbers[id(tree)] = numbers.get(id(tree), 0) + 1
        if number % STEP == 0:
            told(f"reading manifests: {number:,} of {total:,}")
        if number == total:
            told(f"compiling and judging {total:,} manifests")
        return read(tree, path, layout)

    return counted


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
