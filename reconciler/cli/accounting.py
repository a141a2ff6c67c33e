"""From a fleet repository and a period to a report on compliance."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from agent.protocol.errors import InputError
from reconciler.cli.backtesting import bar, state_directory, state_name, unstarted
from reconciler.cli.signers import may
from reconciler.cli.sources import Place, head_of
from reconciler.pipeline.acceptance import Corpus, Judged, appoint
from reconciler.pipeline.acceptance.excusing import waivers_of
from reconciler.pipeline.backtest.asking import Asker, Found
from reconciler.pipeline.backtest.history import History, history_of
from reconciler.pipeline.compliance import auditing, census, rulebook
from reconciler.pipeline.compliance.shape import GroupRow, Point, Report, SignerRow
from reconciler.pipeline.compliance.trend import Measure, chosen, trend
from reconciler.pipeline.finding import Verdict
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.positions import verdict
from reconciler.pipeline.remembered.replays import Replays
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.signatures.review import signers_of
from reconciler.pipeline.signatures.reviewed import required
from reconciler.pipeline.signatures.signers import SignerSet, signer_set
from reconciler.pipeline.survey import Survey, survey
from reconciler.pipeline.tree import Tree
from reconciler.publication.times import stamp

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a report is to be about: since when, up to which revision, by which labels, with how many points; and the time of now.

    `pinned` are the signers that the reconciler's settings name, which count beside those in git.
    """

    since: str
    rev: str
    labels: tuple[str, ...]
    points: int
    now: datetime
    jobs: int
    pinned: tuple[Document, ...] = ()


def report_of(place: Place, wanted: Wanted, *, opa: Path, told: Told) -> Report:
    """Return a report on a revision and the time before it.

    Raises:
        InputError: there is no such revision, or its rules can't judge.
        RetryError: OPA, or a program that verifies signatures, can't be run.
    """
    tree, head = head_of(place, wanted.rev)
    judge = _judge(tree, opa).on(stamp(wanted.now))
    told("asking all rules about all manifests")
    on = {rule.id for rule in judge.rules.values() if rule.scope != "change" and judge.levels.anywhere(rule.id)}
    found = survey(tree, judge, on, opa=opa, now=stamp(wanted.now))
    told("reading history")
    history = history_of(place.git(), head or "", since=wanted.since, prefix=place.prefix)
    points = tuple(_trend(place, history, judge, wanted, opa=opa, told=told))
    told("verifying signatures")
    return _report(place, tree, judge, found, wanted, head=head or "", history=history, trend=points)


def _judge(tree: Tree, opa: Path) -> Judge:
    appointed = appoint(tree, opa=opa)
    if appointed.judge is None:
        reasons = "; ".join(f"{one.place.file}: {one.message}" for one in appointed.findings[:3])
        message = f"nothing can be judged: {reasons}"
        raise InputError(message)
    return appointed.judge


def _trend(place: Place, history: History, judge: Judge, wanted: Wanted, *, opa: Path, told: Told) -> Iterator[Point]:
    steps = chosen(history.steps, wanted.points) if wanted.points else []
    rules = [
        rule.id for rule in judge.rules.values() if rule.scope == "object" and not rule.reads_change and judge.levels.anywhere(rule.id)
    ]
    if not steps or not rules:
        return
    hearing = replace(judge, levels=judge.levels.hearing(rules))
    known: Replays[Found] = Replays(Sealed(state_directory()), state_name(opa, judge.digest, "compliance"), dict[str, Found])
    with unstarted(hearing, opa) as policies, known.saved():
        measure = Measure(judge=judge, asker=Asker(policies, known, rules=rules, jobs=wanted.jobs))
        yield from trend(place.git(), steps, measure, lambda done: told(f"{bar(done, len(steps))} {done} of {len(steps)} points"))


def _report(
    place: Place, tree: Tree, judge: Judge, found: Survey, wanted: Wanted, *, head: str, history: History, trend: tuple[Point, ...]
) -> Report:
    corpus = found.decision.corpus
    judged = [one for one in found.decision.judged if one.finding.rule in judge.rules and one.finding.action != "error"]
    marks = [mark for one in judged if (mark := _mark(one, judge, corpus)) is not None]
    taken = census.take(corpus.world, marks)
    objects, agents = census.totals(taken)
    known = signers_of(corpus, wanted.pinned)
    looked = auditing.Looked()
    if required(corpus, wanted.pinned) or known.principals:
        looked = auditing.look(place.git(), head or "", history.steps, known, now=wanted.now, prefix=place.prefix)
    used = frozenset(one.waived.title for one in judged if one.waived is not None)
    name = corpus.repository.name if corpus.repository else None
    return Report(
        repository=name.name if name else "",
        since=wanted.since,
        at=stamp(wanted.now),
        head=head,
        commits=len({sha for step in history.steps for sha in step.brought}),
        judge=judge.digest,
        objects=objects,
        agents=agents,
        rules=tuple(rulebook.rules(judge, corpus.world, marks)),
        tenants=tuple(census.by_tenant(taken)),
        fleets=tuple(census.by_fleet(taken)),
        labels=tuple(_labels(taken, wanted.labels)),
        trend=trend,
        waivers=auditing.in_force(waivers_of(corpus.world), used, stamp(wanted.now)),
        signatures=required(corpus, wanted.pinned),
        signers=tuple(_signers(known, wanted)),
        unsigned=looked.unsigned,
        standing=_standing(judged, judge, corpus, tree),
        unread=tuple(verdict(one, tree.read) for one in found.refused if one.action == "deny"),
        unjudged=tuple(verdict(one.finding, tree.read) for one in found.decision.judged if one.finding.action == "error"),
        left=tuple(_left(history, looked)),
    )


def _mark(one: Judged, judge: Judge, corpus: Corpus) -> census.Mark | None:
    finding = one.finding
    document = corpus.objects.get(finding.object) if finding.object is not None else None
    if finding.object is None or document is None:
        return None
    level = rulebook.level_of(judge, finding.rule, document)
    return census.Mark(rule=finding.rule, level=level, object=finding.object, waived=one.waived is not None) if level != "off" else None


def _standing(judged: list[Judged], judge: Judge, corpus: Corpus, tree: Tree) -> tuple[Verdict, ...]:
    """Return what stands and counts, at its level, in the order of files."""
    found = []
    for one in judged:
        mark = _mark(one, judge, corpus)
        if mark is not None and not mark.waived and mark.level in census.COUNTED:
            found.append(verdict(replace(one.finding, action="deny" if mark.level == "deny" else "warn"), tree.read))
    return tuple(sorted(found, key=lambda one: (one.action, one.file, one.line, one.column, one.rule, one.message)))


def _labels(taken: census.Census, wanted: Sequence[str]) -> Iterator[GroupRow]:
    """Yield agents by label; raise `InputError` for one that no agent has, since silence reads as if all were well."""
    known = sorted({key for labels in taken.labels.values() for key in labels})
    for label in wanted:
        if label not in known:
            message = f"--label {label[:80]}: no agent has it; labels here are {', '.join(known) or 'none'}"
            raise InputError(message)
    yield from census.by_label(taken, wanted)


def _signers(known: SignerSet, wanted: Wanted) -> Iterator[SignerRow]:
    pinned = signer_set(wanted.pinned).principals
    for one in sorted(known.principals.values(), key=lambda one: one.name):
        beside = "; pinned by the reconciler's settings" if one.name in pinned else ""
        keys = sum(not key.refusal(wanted.now) for key in one.credentials)
        yield SignerRow(name=one.name, role=one.role, may=may(one) + beside, keys=keys)


def _left(history: History, looked: auditing.Looked) -> Iterator[str]:
    if history.cut:
        yield f"Only the newest {len(history.steps):,} commits of the period were looked at."
    if looked.earlier:
        yield f"Commits that nobody had to sign, up to {looked.since[:12]}, which turned signatures on: {looked.earlier:,}."
    if looked.older:
        yield f"The signatures of {looked.older:,} older commits of the period were not verified."
