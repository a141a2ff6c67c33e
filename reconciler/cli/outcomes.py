"""From a decision to what is reported of it, and whether that will still hold later."""

from datetime import timedelta

from reconciler.cli.judging import Judgement, changes_said
from reconciler.cli.memory import Kept, Memory
from reconciler.cli.report.outcome import ACTIONS, Outcome
from reconciler.cli.sources import Base
from reconciler.pipeline.acceptance import Decision, Judged
from reconciler.pipeline.descriptions import of_judge, structural
from reconciler.pipeline.finding import Verdict
from reconciler.pipeline.positions import Finder, find, verdict
from reconciler.pipeline.remembered.identity import identity
from reconciler.pipeline.remembered.places import KnownPlaces
from reconciler.pipeline.tree import Tree
from reconciler.publication.times import instant, stamp


def outcome_of(
    judgement: Judgement, tree: Tree, *, revision: str | None, base: str | None, prefix: str = "", finder: Finder = find
) -> Outcome:
    """Return what is reported of a decision: verdicts by file and line, and what their rules say of themselves."""
    judged = judgement.decision.judged
    verdicts = [verdict_of(one, tree, finder) for one in judged]
    verdicts.sort(key=lambda one: (one.file, one.line, one.column, ACTIONS.index(one.action), one.rule, one.message))
    named = {one.rule for one in verdicts}
    rules = {one.id: one for one in structural() if one.id in named}
    for judge in judgement.judges:
        rules |= {one.id: one for one in of_judge(judge)}
    return Outcome(
        verdicts=tuple(verdicts),
        accepted=judgement.decision.accepted,
        revision=revision,
        base=base,
        judge_changed=judgement.before is not None and judgement.own is not None,
        loosened=judgement.loosened,
        signatures=judgement.review.required,
        trial=judgement.review.trial,
        rules=dict(sorted(rules.items())),
        prefix=prefix,
        manifests=judgement.decision.manifests,
    )


def verdict_of(one: Judged, tree: Tree, finder: Finder = find) -> Verdict:
    """Return what was judged as it is shown, with its line in `tree`."""
    return verdict(
        one.finding,
        tree.read,
        standing=one.standing,
        blocks_standing=one.blocks_standing,
        waived=one.waived.shown if one.waived else None,
        notes=one.notes,
        finder=finder,
    )


def _until(decision: Decision, now: str) -> str:
    """Return the instant up to which time alone changes nothing of an outcome: what is said of waivers may change each day."""
    midnight = stamp(instant(now, what="the time of a check") + timedelta(days=1))[:10] + "T00:00:00Z"
    return min((each for each in (decision.wake_at, midnight if decision.dated else "") if each), default="")


def kept_of(
    judgement: Judgement, tree: Tree, *, now: str, revision: str | None, base: Base | None, prefix: str, memory: Memory | None = None
) -> Kept:
    """Return an outcome with what tells whether it holds at another time.

    It does where no rule reads the time, or only rules of changes do and they say the same, until a
    waiver ends or the day of a rule comes. What could not be judged is
    never believed later.
    """
    places = KnownPlaces(memory.sealed, f"places-{memory.place}-{identity()[:16]}") if memory is not None else None
    finder = places.find if places is not None else find
    outcome = outcome_of(judgement, tree, revision=revision, base=base.revision if base else None, prefix=prefix, finder=finder)
    if places is not None:
        places.save()
    timed = {scope for judge in judgement.judges for scope in judge.timed}
    lasting = bool(judgement.judges) and not outcome.unjudged and not judgement.review.required and timed <= {"change"}
    until = _until(judgement.decision, now)
    if not timed:
        return Kept(outcome=outcome, lasting=lasting, at=now, until=until)
    said = changes_said(one.finding for one in judgement.decision.judged)
    return Kept(outcome=outcome, lasting=lasting, change=dict(judgement.decision.change), said=said, at=now, until=until)
