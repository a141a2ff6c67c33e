"""Verdicts: each decision is made again from what it was made of: the trees, the judge, the signers and its own time.

Another version of ordain brings other built-in rules, and another OPA may answer otherwise. What then differs is told as unproven, with
that reason, and not as a misfit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from agent.protocol.errors import MalformedError, OrdainError, RetryError
from reconciler.opa.program import PINNED
from reconciler.pipeline.acceptance import EMPTY_CORPUS, Appointment, Corpus, Decision, Facts, Judges, Released, appoint, decide, loosened
from reconciler.pipeline.audit import (
    DecisionRecord,
    RecordedCommit,
    RecordedVerdict,
    RecordedWaiver,
    encode_record,
    record_digest,
    record_key,
    recorded_commits,
    recorded_verdict,
    recorded_waivers,
)
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.examine import listed_commits, recorded
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document, is_judge
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.proof.records import Chain
from reconciler.pipeline.proof.shape import Finding, Misfit, Report, Unproven
from reconciler.pipeline.remembered.replays import Replays
from reconciler.pipeline.session import start
from reconciler.pipeline.signatures.doubts import Doubts
from reconciler.pipeline.signatures.review import Review, review
from reconciler.pipeline.signatures.verifier import Verifier
from reconciler.pipeline.source import CommitInfo, CommitTree, commits_between, diff_trees
from reconciler.pipeline.trail.trees import Trees
from reconciler.pipeline.tree import Difference
from reconciler.publication.times import instant

NAMED = 3
"""Verdicts of one decision that are named one by one; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaying:
    """What decisions are made again with: `pinned` are the signers that the reconciler's settings name.

    `known` has the decisions, by the digest of their record, that a run which was stopped has made again with nothing found.
    """

    trees: Trees
    opa: Path
    known: Replays[str]
    pinned: tuple[Document, ...] = ()


def check_verdicts(given: Replaying, chain: Chain, first: int, report: Report, said: Callable[[str], None]) -> None:
    """Make the decisions from number `first` on again, and compare what comes of each with its record.

    It begins at the last decision before that refused nothing, since what is held back is part of what a decision is made of.
    Where it was stopped the last time, it goes on after the decisions that it had made again by then.

    Raises:
        RetryError: OPA can't be run.
    """
    first = _go_on(given.known, chain, first, report)
    if first > chain.records[-1].sequence:
        return
    replay = _Replay(given=given)
    with closing(replay), given.known.saved():
        begin = _start(chain.records, first)
        before = chain.records[begin - 1] if begin else None
        if before is not None:
            replay.skip(before)
        for record in chain.records[begin:]:
            said(f"deciding again: decision {record.sequence} of {chain.records[-1].sequence}")
            found = list(_again(replay, record, before, linked=chain.before(record) is before))
            if record.sequence >= first:
                fine = report.take("decision", found)
                given.known.put(record_digest(encode_record(record)), record.at, lasting=fine)
            before = record


def _go_on(known: Replays[str], chain: Chain, first: int, report: Report) -> int:
    """Count the decisions from number `first` on that are known to come out as recorded, and return the number of the one after."""
    for record in chain.records:
        if record.sequence >= first:
            if not known.get(record_digest(encode_record(record))):
                return record.sequence
            report.take("decision", [])
    return chain.last + 1


def _start(records: Sequence[DecisionRecord], first: int) -> int:
    """Return the index of the first decision that is made again."""
    index = next((number for number, one in enumerate(records) if one.sequence >= first), len(records))
    while index and not _refused_nothing(records[index - 1]):
        index -= 1
    return index


def _refused_nothing(record: DecisionRecord) -> bool:
    return not record.refused and not any(
        one.action in ("deny", "error") and not one.standing and not one.waived for one in record.verdicts
    )


def _again(replay: "_Replay", record: DecisionRecord, before: DecisionRecord | None, *, linked: bool) -> Iterator[Finding]:
    where = record_key(record.sequence)
    if not linked or not replay.given.trees.has(record.head):
        replay.skip(record)
        commit = f"commit {record.head} is in neither the repository nor the store"
        yield Unproven(what="decision", where=where, why=commit if linked else "the record before it does not hold")
        return
    if replay.lost:
        yield Unproven(what="decision", where=where, why=f"what was accepted before it can't be read: {replay.lost}")
        replay.skip(record)
        return
    try:
        made = replay.step(record, before)
    except MalformedError as error:
        replay.skip(record)
        yield Misfit(what="git object", where=where, expected=f"the objects of commit {record.head}", found=str(error))
        return
    except OrdainError as error:
        replay.skip(record)
        yield Unproven(what="decision", where=where, why=f"it could not be made again: {error}")
        return
    found = list(_compared(record, made))
    reason = _reason(record)
    for one in found:
        yield Unproven(what=one.what, where=where, why=f"{reason}; expected {one.expected}, found {one.found}") if reason else one


def _reason(record: DecisionRecord) -> str:
    """Return why a decision may come out otherwise here though nobody changed anything, empty where it may not."""
    if record.ordain != version("ordain"):
        return f"ordain {record.ordain} decided, with its own built-in rules, and this is {version('ordain')}"
    if record.opa != PINNED:
        return f"OPA {record.opa} answered, and this is {PINNED}"
    if any(one.action == "error" for one in record.verdicts):
        return "something could not be judged then"
    return ""


def _compared(record: DecisionRecord, made: "_Made") -> Iterator[Misfit]:
    where, decision = record_key(record.sequence), made.decision
    if made.judge != record.judge:
        expected = f"judge {made.judge}, which this build of ordain {version('ordain')} makes of the commit with its own built-in rules"
        yield Misfit(what="judge", where=where, expected=expected, found=f"judge {record.judge}, by ordain {record.ordain}")
    if dict(decision.refused) != record.refused:
        yield Misfit(what="refused files", where=where, expected=_files(decision.refused), found=_files(record.refused))
    again = [recorded_verdict(one) for one in recorded(decision, made.tree)]
    gone, new = [one for one in again if one not in record.verdicts], [one for one in record.verdicts if one not in again]
    for verdict in gone[:NAMED]:
        yield Misfit(what="verdict", where=where, expected=_verdict(verdict), found="not in the record")
    for verdict in new[:NAMED]:
        yield Misfit(what="verdict", where=where, expected="no such verdict", found=_verdict(verdict))
    left = max(0, len(gone) - NAMED) + max(0, len(new) - NAMED)
    if left:
        yield Misfit(what="verdict", where=where, expected="the same verdicts", found=f"{left} more that differ")
    commits, waivers = recorded_commits(made.facts.commits), recorded_waivers(decision.judged)
    if commits != record.commits:
        yield Misfit(what="commits", where=where, expected=_commits(commits), found=_commits(record.commits))
    if waivers != record.waivers:
        yield Misfit(what="waivers", where=where, expected=_waivers(waivers), found=_waivers(record.waivers))
    digests = {key: decision.compiled[key].digest for key in decision.releases}
    stated = {(one.tenant, one.fleet): one.digest for one in record.releases}
    if digests != stated:
        yield Misfit(what="releases", where=where, expected=_releases(digests), found=_releases(stated))


def _commits(listed: Sequence[RecordedCommit]) -> str:
    return f"{len(listed)}: " + ", ".join(f"{one.sha[:12]} of {one.author}, signer {one.signer or 'none'}" for one in listed[-NAMED:])


def _waivers(listed: Sequence[RecordedWaiver]) -> str:
    return ", ".join(f"{one.tenant}/{one.name} until {one.expires}" for one in listed[:NAMED]) or "none"


def _files(refused: Iterable[str]) -> str:
    return ", ".join(sorted(refused)) or "none"


def _releases(made: dict[FleetKey, str]) -> str:
    return ", ".join(f"{'/'.join(key)} {digest[:12]}" for key, digest in sorted(made.items())) or "none"


def _verdict(one: RecordedVerdict) -> str:
    how = f", waived by {one.waived}" if one.waived else ", standing" if one.standing else ""
    return f"{one.action} {one.rule}{how} at {one.file}:{one.line}: {one.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A decision made again, of a head's tree and facts, and the digest of the judge after it."""

    decision: Decision
    tree: CommitTree
    facts: Facts
    judge: str


@dataclass(slots=True, kw_only=True)
class _Replay:
    """What a reconciler held between two decisions, made again."""

    given: Replaying
    verifier: Verifier = field(default_factory=Verifier)
    corpus: Corpus = EMPTY_CORPUS
    policies: Policies | None = None
    released: Released = field(default_factory=Released)
    bundle_format: int = 1
    doubts: Doubts = field(default_factory=dict)
    lost: str = ""
    """Why what the last decision left is not known, empty where it is: the next one can't be made again then."""

    def close(self) -> None:
        """Stop OPA, and remove what verifying left on disk."""
        self.verifier.close()
        _stop(self.policies)

    def _begin(self, record: DecisionRecord) -> None:
        """Go on from a decision that refused nothing."""
        trees = self.given.trees
        self.corpus = trees.corpus(record.tree)
        if REPOSITORY_FILE not in self.corpus.tree.entries:
            return
        appointment = appoint(self.corpus.tree, opa=self.given.opa)
        if appointment.judge is not None:
            _stop(self.policies)
            self.policies, self.bundle_format = self._start(appointment.judge), appointment.bundle_format
        self.released = Released(compiled={key: trees.compiled(record.tree, key) for key in self.corpus.world.fleets()})

    def skip(self, record: DecisionRecord) -> None:
        """Take a decision's outcome from its record, as far as that is possible; raise `RetryError` if OPA can't be run."""
        self.lost = "" if self.given.trees.has(record.tree) else f"tree {record.tree} is in neither the repository nor the store"
        if self.lost:
            return
        try:
            self._begin(record)
        except RetryError:
            raise
        except OrdainError as error:
            self.lost = str(error)

    def _start(self, judge: Judge) -> Policies:
        return start(Policies(judge, opa=self.given.opa))

    def step(self, record: DecisionRecord, before: DecisionRecord | None) -> "_Made":
        """Decide again, and go on from there."""
        repository = self.given.trees.repository
        tree = CommitTree(repository, record.head)
        changed = diff_trees(repository, before.tree if before else None, tree.oid)
        commits = commits_between(repository, before.head if before else None, record.head)
        touched = before is None or any(is_judge(path, self.corpus.layout) for path in changed.touched)
        appointment = appoint(tree, opa=self.given.opa) if touched else None
        layout = appointment.layout if appointment and appointment.judge else self.corpus.layout
        reviewed = self._review(record, before, changed, appointment)
        judges = self._judges(appointment, record.at)
        facts = _facts(record, before, commits, reviewed)
        decision = decide(
            self.corpus,
            tree,
            changed,
            layout=layout,
            judges=judges,
            facts=facts,
            released=self.released,
            bundle_format=appointment.bundle_format if appointment and appointment.judge else self.bundle_format,
        )
        self._move_on(record, decision, judges, appointment, reviewed)
        judge = self.policies.judge.digest if self.policies is not None else ""
        return _Made(decision=decision, tree=tree, facts=facts, judge=judge)

    def _review(
        self, record: DecisionRecord, before: DecisionRecord | None, changed: Difference, appointment: Appointment | None
    ) -> Review:
        return review(
            self.given.trees.repository,
            self.corpus,
            record.head,
            since=before.head if before else None,
            changed=changed,
            layout=appointment.layout if appointment else self.corpus.layout,
            now=instant(record.at, what="decision"),
            known=self.doubts,
            pinned=self.given.pinned,
            verifier=self.verifier,
        )

    def _judges(self, appointment: Appointment | None, at: str) -> Judges:
        if appointment is None:
            return Judges(before=self.policies)
        present = self.policies.judge if self.policies is not None else None
        judge = appointment.judge
        if judge is None or (present is not None and present.digest == judge.digest):
            return Judges(before=self.policies, refused=appointment.findings)
        return Judges(before=self.policies, own=self._start(judge), refused=appointment.findings, loosened=loosened(present, judge, at))

    def _move_on(
        self, record: DecisionRecord, decision: Decision, judges: Judges, appointment: Appointment | None, reviewed: Review
    ) -> None:
        if decision.new_judge and appointment is not None:
            _stop(self.policies)
            self.policies, self.bundle_format = judges.own, appointment.bundle_format
        else:
            _stop(judges.own)
        self.corpus = replace(decision.corpus, tree=CommitTree(self.given.trees.repository, record.tree))
        self.released = Released(compiled=decision.compiled, frozen=decision.frozen)
        self.doubts = reviewed.doubts


def _facts(record: DecisionRecord, before: DecisionRecord | None, commits: Sequence[CommitInfo], reviewed: Review) -> Facts:
    return Facts(
        before=before.head if before else None,
        head=record.head,
        now=record.at,
        commits=listed_commits(commits, reviewed),
        since=record.since,
        signatures=reviewed.findings,
    )


def _stop(policies: Policies | None) -> None:
    if policies is not None:
        policies.__exit__(None, None, None)
