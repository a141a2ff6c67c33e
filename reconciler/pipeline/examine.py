"""Examining one head: decide, and write down what was decided before anything is released.

The order of writing is objects, decision record, accepted state; releases and controls follow from the accepted
state and are made again at the next start if a crash came between.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from agent.protocol.errors import RetryError
from agent.protocol.faults import reached
from reconciler.opa.program import PINNED
from reconciler.pipeline import accepted
from reconciler.pipeline.acceptance import Appointment, Decision, Facts, Judges, Released, appoint, decide, loosened
from reconciler.pipeline.acceptance.corpus import read_layout
from reconciler.pipeline.audit import (
    PAYLOAD_TYPE,
    DecisionRecord,
    RecordedRelease,
    encode_record,
    record_digest,
    record_key,
    recorded_commits,
    recorded_verdict,
    recorded_waivers,
)
from reconciler.pipeline.finding import Finding, Place, Verdict
from reconciler.pipeline.manifests import REPOSITORY_FILE, is_judge, verdict
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.session import Parts, Session, explain, start
from reconciler.pipeline.signatures.review import Review, review
from reconciler.pipeline.signing import repository_signing
from reconciler.pipeline.source import CommitInfo, CommitTree, commits_between, diff_trees, write_tree
from reconciler.pipeline.standing import shortened, standing_after, waivers_after
from reconciler.pipeline.tree import Difference
from reconciler.publication import envelope
from reconciler.publication.times import stamp

_log = logging.getLogger(__name__)
PLACES = ("pipeline:after-record", "pipeline:after-accepted")
"""Where a crash test may kill the pipeline here."""
RECORD_FORMAT: Literal[1] = 1
VERDICTS_LIMIT = 1000
"""Verdicts in one record, the worst first: a record must stay readable; `ordain check` shows all of them."""
WORST_FIRST = ("error", "deny", "warn", "audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What came of a head."""

    decision: Decision
    record: DecisionRecord
    verdicts: tuple[Verdict, ...]


def examine(parts: Parts, session: Session, head: str) -> Examined:
    """Judge a head against the session's accepted state, store the outcome, and leave the session at it.

    Raises:
        RetryError: OPA can't be run, or another reconciler wrote in between.
    """
    repository = parts.mirror.repository
    near = session.corpus.tree if isinstance(session.corpus.tree, CommitTree) else None
    tree = CommitTree(repository, head, near=near)
    before = session.state
    difference = diff_trees(repository, before.tree if before else None, tree.oid)
    commits = commits_between(repository, before.head if before else None, head)
    reviewed = _reviewed(parts, session, head, tree, difference)
    appointment = _appointed(parts, session, tree) if _brings_judge(session, difference, reviewed) else None
    facts = _facts(session, head, commits, parts, reviewed)
    try:
        judges = _judges(parts, session, appointment)
    except RetryError as error:
        appointment = _waiting(session, error)
        judges = _judges(parts, session, appointment)
    try:
        decision = decide(
            session.corpus,
            tree,
            difference,
            layout=appointment.layout if appointment and appointment.judge else session.corpus.layout,
            judges=judges,
            facts=facts,
            released=session.released,
            bundle_format=appointment.bundle_format if appointment and appointment.judge else session.bundle_format,
        )
        examined = _write_down(parts, session, tree, facts=facts, decision=decision, judges=judges, doubts=reviewed.doubts)
    except BaseException:
        _stop(judges.own)
        raise
    _move_on(session, examined, tree, judges=judges, appointment=appointment)
    return examined


def _reviewed(parts: Parts, session: Session, head: str, tree: CommitTree, difference: Difference) -> Review:
    before = session.state
    return review(
        parts.mirror.repository,
        session.corpus,
        head,
        since=before.head if before else None,
        changed=difference,
        layout=read_layout(tree) if REPOSITORY_FILE in difference.touched else session.corpus.layout,
        now=parts.now(),
        known=before.doubts if before else None,
        pinned=parts.pinned,
        verifier=parts.verifier,
    )


def _brings_judge(session: Session, difference: Difference, reviewed: Review) -> bool:
    """Return whether a head brings a judge to be heard: rules that nobody may have written are not even compiled."""
    layout = session.corpus.layout
    barred = any(is_judge(one.place.file, layout) for one in reviewed.findings)
    return not barred and (session.state is None or any(is_judge(path, layout) for path in difference.touched))


def _appointed(parts: Parts, session: Session, tree: CommitTree) -> Appointment:
    try:
        return appoint(tree, opa=parts.opa, cache=parts.judges)
    except RetryError as error:
        return _waiting(session, error)


def _waiting(session: Session, error: RetryError) -> Appointment:
    """Return that the present judge goes on: rules that no OPA can take up must not hold up all else. Their files are tried again later.

    Raises the error where there is no judge yet.
    """
    if session.policies is None:
        raise error
    finding = Finding(
        action="error",
        rule="manifest/policy",
        code="policy/unusable",
        message=f"the new rules can't be taken up: {explain(error)}",
        remedy="make them smaller, or look at the load of this machine; they are tried again by themselves",
        place=Place(file=REPOSITORY_FILE),
    )
    return Appointment(layout=session.corpus.layout, judge=None, findings=(finding,), bundle_format=session.bundle_format)


def _judges(parts: Parts, session: Session, appointment: Appointment | None) -> Judges:
    before = session.policies
    if appointment is None:
        return Judges(before=before)
    judge = appointment.judge
    if judge is None or (before is not None and before.judge.digest == judge.digest):
        return Judges(before=before, refused=appointment.findings)
    own = start(Policies(judge, opa=parts.opa, seconds=parts.batch_seconds, memory=parts.opa_memory))
    return Judges(
        before=before, own=own, refused=appointment.findings, loosened=loosened(before.judge if before else None, judge, stamp(parts.now()))
    )


def _facts(session: Session, head: str, commits: Sequence[CommitInfo], parts: Parts, reviewed: Review) -> Facts:
    listed = listed_commits(commits, reviewed)
    before = session.state
    return Facts(
        before=before.head if before else None,
        head=head,
        now=stamp(parts.now()),
        commits=listed,
        since=judged_to(before) if before else None,
        signatures=reviewed.findings,
    )


def listed_commits(commits: Sequence[CommitInfo], reviewed: Review) -> tuple[Mapping[str, Any], ...]:
    """Return commits as rules see them and records hold them."""
    return tuple(
        {
            "sha": one.sha,
            "author": one.author,
            "email": one.email,
            "signer": reviewed.signers.get(one.sha),
            "time": one.time,
            "paths": list(one.paths),
        }
        for one in commits
    )


def judged_to(state: accepted.AcceptedState) -> str:
    """Return the instant up to which ends of waivers and dates of rules have been judged."""
    return state.judged_to or state.examined_at


def recorded(decision: Decision, tree: CommitTree) -> tuple[Verdict, ...]:
    """Return the verdicts that go into a decision's record."""
    worst = sorted(decision.judged, key=lambda one: (not one.blocking, WORST_FIRST.index(one.finding.action)))
    return tuple(
        verdict(one.finding, tree.read, standing=one.standing, waived=one.waived.shown if one.waived else None, notes=one.notes)
        for one in worst[:VERDICTS_LIMIT]
    )


def _write_down(
    parts: Parts,
    session: Session,
    tree: CommitTree,
    *,
    facts: Facts,
    decision: Decision,
    judges: Judges,
    doubts: Mapping[str, accepted.Doubt],
) -> Examined:
    """Store objects, the record and the accepted state, in that order, and leave the session with the latter."""
    before, repository, head = session.state, parts.mirror.repository, facts.head or ""
    overrides = {path: accepted.blob_of(repository, before.tree if before else None, path) for path in decision.refused}
    accepted_tree = write_tree(repository, tree.oid, overrides) if overrides else tree.oid
    objects = accepted.archive(parts.store, repository, before, accepted_tree, head)
    policies = judges.own if decision.new_judge else session.policies
    verdicts = recorded(decision, tree)
    record = DecisionRecord(
        format=RECORD_FORMAT,
        sequence=_next_decision(parts, before),
        previous=before.record if before else None,
        head=head,
        from_=before.head if before else None,
        at=facts.now,
        tree=accepted_tree,
        judge=policies.judge.digest if policies else "",
        opa=PINNED,
        ordain=_version(),
        commits=recorded_commits(facts.commits),
        verdicts=[recorded_verdict(one) for one in verdicts],
        refused=dict(sorted(decision.refused.items())),
        waivers=recorded_waivers(decision.judged),
        releases=[RecordedRelease(tenant=key[0], fleet=key[1], digest=decision.compiled[key].digest) for key in decision.releases],
        since=facts.since,
    )
    payload = encode_record(record)
    signer = repository_signing(parts.ring).signer
    parts.store.create(record_key(record.sequence), envelope.sign(payload, PAYLOAD_TYPE, [signer]))
    reached("pipeline:after-record")
    touched = {path for commit in facts.commits for path in commit["paths"]}
    state = _state(session, decision, record, parts, digest=record_digest(payload), objects=objects, doubts=doubts, touched=touched)
    session.stored = accepted.write(parts.store, signer, state, session.stored, now=parts.now())
    reached("pipeline:after-accepted")
    return Examined(decision=decision, record=record, verdicts=verdicts)


def _state(
    session: Session,
    decision: Decision,
    record: DecisionRecord,
    parts: Parts,
    *,
    digest: str,
    objects: list[str],
    doubts: Mapping[str, accepted.Doubt],
    touched: Collection[str],
) -> accepted.AcceptedState:
    unjudged = any(one.finding.action == "error" for one in decision.judged)
    standing, left_out = shortened(standing_after(decision, session.state, record.at))
    return accepted.AcceptedState(
        format=accepted.FORMAT,
        sequence=0,
        expires="",
        head=record.head,
        tree=record.tree,
        judge=record.judge,
        decision=record.sequence,
        record=digest,
        examined_at=record.at,
        objects=objects,
        held=accepted.held(decision.refused, parts.mirror.repository, session.state, record.head),
        fleets=_standing(decision, session.state, record, touched),
        tenants=decision.corpus.world.names,
        released=session.state.released if session.state else 0,
        doubts=dict(doubts),
        unjudged=unjudged,
        standing=standing,
        standing_left_out=left_out,
        waivers=waivers_after(decision, session.state),
        wake_at=decision.wake_at,
        judged_to=record.since or record.at if unjudged else record.at,
    )


@cache
def _version() -> str:
    """Return this version of ordain, which takes some milliseconds to look up."""
    return version("ordain")


def _next_decision(parts: Parts, before: accepted.AcceptedState | None) -> int:
    """Return a number that no record has: one may stand there from a decision that a crash cut short."""
    sequence = (before.decision if before else 0) + 1
    while parts.store.version(record_key(sequence)) is not None:
        sequence += 1
    return sequence


def _standing(
    decision: Decision, before: accepted.AcceptedState | None, record: DecisionRecord, touched: Collection[str]
) -> dict[str, accepted.Standing]:
    """Return the fleets that stand still: since when in these words, and of the last commit that `touched` the file which is refused."""
    earlier = before.fleets if before else {}
    standing: dict[str, accepted.Standing] = {}
    for key, why in decision.frozen.items():
        known = earlier.get("/".join(key))
        again = any(why.startswith(f"{path} ") for path in decision.refused if path in touched)
        since = known.since if known and known.why == why else record.at
        commit = known.commit if known and known.why == why and not again else record.head
        standing["/".join(key)] = accepted.Standing(state="frozen", why=why, since=since, commit=commit)
    return standing


def _move_on(session: Session, examined: Examined, head: CommitTree, *, judges: Judges, appointment: Appointment | None) -> None:
    decision = examined.decision
    if decision.new_judge and appointment is not None:
        session.close()
        session.policies, session.bundle_format = judges.own, appointment.bundle_format
    else:
        _stop(judges.own)
    accepted_tree = examined.record.tree
    tree = head if head.oid == accepted_tree else CommitTree(head.repository, accepted_tree, near=head)
    session.corpus = replace(decision.corpus, tree=tree)
    session.released = Released(compiled=decision.compiled, frozen=decision.frozen)


def _stop(policies: Policies | None) -> None:
    if policies is not None:
        policies.__exit__(None, None, None)


def keep(parts: Parts, session: Session) -> None:
    """Note on this machine what is accepted: its sequence, so that nothing older is gone on from, and a ref for plain git.

    For after the release, which hosts wait for: where a crash comes between, the next start notes it (`session.resume`).
    """
    if session.state is not None:
        accepted.remember(parts.state, session.state.sequence)
        parts.mirror.keep_accepted(session.state.head)


def summary(examined: Examined) -> dict[str, object]:
    """Return what one log line says of a decision."""
    record = examined.record
    return {
        "head": record.head[:12],
        "decision": record.sequence,
        "accepted": examined.decision.accepted,
        "refused": len(record.refused),
        "released": len(record.releases),
        "frozen": len(examined.decision.frozen),
        "judge": record.judge[:12],
    }
