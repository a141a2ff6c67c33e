"""Moves from one state of a rollout to the next, each with the event that tells of it."""

from dataclasses import dataclass

import msgspec

from agent.protocol.rollout import Release
from agent.protocol.state import Struct
from reconciler.control.rollout.pacing import Pace
from reconciler.control.rollout.progress import ATTEMPTS_KEPT, FORMER_KEPT, Candidate, Progress
from reconciler.control.rollout.situation import Desired, Situation
from reconciler.publication.times import stamp
from reconciler.rollouts.waves import Wave


class Event(Struct):
    """Something that happened to a rollout, with its reason in words."""

    kind: str
    at: str
    fleet: str
    why: str
    digest: str = ""
    attempt: int = 0
    wave: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Where a rollout stands after a move, and what to tell of it."""

    progress: Progress
    events: tuple[Event, ...] = ()


def told(progress: Progress, situation: Situation, kind: str, why: str, *, wave: str = "", who: str = "") -> Moved:
    """Return a state with one event about it."""
    about = progress.candidate.release if progress.candidate else progress.refused or progress.stable
    event = Event(
        kind=kind,
        at=stamp(situation.now),
        fleet=situation.fleet,
        why=why,
        digest=about.digest if about else "",
        attempt=progress.attempt,
        wave=wave,
        who=who,
    )
    return Moved(progress=progress, events=(event,))


def taken_up(progress: Progress, situation: Situation, desired: Desired) -> Moved:
    """Make the newest release the candidate, under the attempt after its last."""
    digest = desired.release.digest
    attempt = progress.attempts.get(digest, 0) + 1
    candidate = Candidate(release=desired.release, commit=desired.commit, decision=desired.decision, at=stamp(situation.now))
    after = msgspec.structs.replace(
        _idle(progress),
        stable=desired.to_go_back_to(progress.stable),
        candidate=candidate,
        phase="waiting",
        attempt=attempt,
        attempts=_noted(progress.attempts, digest, attempt),
    )
    again = f", attempt {attempt}" if attempt > 1 else ""
    return told(after, situation, "candidate", f"{digest[:12]} of commit {desired.commit[:12]} is to be rolled out{again}")


def admitted(progress: Progress, situation: Situation, index: int, wave: Wave, *, total: int, through: str) -> Moved:
    """Let a wave's hosts have the candidate; `through` says which gates it passes that hold others, "" for none."""
    after = msgspec.structs.replace(
        progress,
        phase="applying",
        wave=index,
        admitted_at=stamp(situation.now),
        resumed_at="",
        selectors=[dict(selector) for selector in wave.selectors],
        bound=max(progress.bound, wave.bound),
        total=total,
    )
    why = f"wave {wave.step.name} admits {wave.size} more, {wave.reached} of {total} in all{f'; it {through}' if through else ''}"
    return told(after, situation, "admitted", why, wave=wave.step.name)


def paced(progress: Progress, situation: Situation, pace: Pace) -> Progress:
    """Return a state in which a wave has gone as far as it may; time for silence is counted anew for whoever was let go."""
    went = stamp(situation.now) if pace.went else progress.paced_at
    return msgspec.structs.replace(progress, bound=pace.bound, held=list(pace.held), waiting=pace.waiting, paced_at=went)


def done(progress: Progress, situation: Situation) -> Moved:
    """Make the candidate the stable release."""
    candidate = progress.candidate
    assert candidate is not None  # noqa: S101 - only a candidate can be done
    former = [*([progress.stable] if progress.stable else []), *progress.former]
    kept = [one for one in former if one != candidate.release][:FORMER_KEPT]
    after = msgspec.structs.replace(
        _idle(progress),
        phase="settled",
        stable=candidate.release,
        stable_commit=candidate.commit,
        stable_decision=candidate.decision,
        former=kept,
    )
    return told(after, situation, "done", f"{candidate.release.digest[:12]} is stable for everybody")


def taken_back(progress: Progress, situation: Situation, why: str, *, kind: str = "taken-back", who: str = "") -> Moved:
    """Give the candidate up: everybody goes back to the stable release, and it is not offered again under this attempt."""
    candidate = progress.candidate
    assert candidate is not None  # noqa: S101 - only a candidate can be taken back
    wave = _wave_name(progress, situation, candidate)
    after = msgspec.structs.replace(_idle(progress), phase="stopped", refused=candidate.release, refused_commit=candidate.commit)
    return told(after, situation, kind, why, wave=wave, who=who)


def back_to(progress: Progress, situation: Situation, goal: Release, why: str, *, who: str) -> Moved:
    """Go back to an earlier stable release, everybody at once; the newest is not offered again until there is another.

    The one that was stable until now may be gone back to as well: whoever went too far, or whose reason was another one, comes back.
    """
    newest = situation.desired.release if situation.desired else progress.stable
    former = [one for one in (progress.stable, *progress.former) if one is not None and one != goal][:FORMER_KEPT]
    if newest == goal:
        after = msgspec.structs.replace(_idle(progress), phase="settled", stable=goal, former=former)
        desired = situation.desired
        known = {"stable_commit": desired.commit, "stable_decision": desired.decision} if desired else {}
        return told(msgspec.structs.replace(after, **known), situation, "rolled-back", why, who=who)
    after = msgspec.structs.replace(_idle(progress), phase="stopped", stable=goal, refused=newest, former=former)
    commit = situation.desired.commit if situation.desired else ""
    was = progress.commits.get(goal.digest, "")
    after = msgspec.structs.replace(after, stable_commit=was, stable_decision=0, refused_commit=commit)  # of which decision is not kept
    return told(after, situation, "rolled-back", why, who=who)


def still_refused(progress: Progress, situation: Situation, desired: Desired) -> Moved:
    """Refuse a release that was taken back for the hosts, too, that were added since: they get the stable one, if it can have them."""
    stable = desired.to_go_back_to(progress.stable)
    after = msgspec.structs.replace(progress, stable=stable, refused=desired.release, refused_commit=desired.commit)
    return told(after, situation, "stable", "hosts were added; the release that was taken back is offered to nobody")


def at_once(progress: Progress, situation: Situation, desired: Desired, why: str) -> Moved:
    """Make a release stable without waves."""
    known = progress.stable
    former = [known, *progress.former][:FORMER_KEPT] if known is not None and known.digest != desired.release.digest else progress.former
    after = msgspec.structs.replace(
        progress,
        stable=desired.release,
        stable_commit=desired.commit,
        stable_decision=desired.decision,
        former=former,
        phase="settled" if progress.candidate is None else progress.phase,
    )
    return told(after, situation, "stable", why)


def _idle(progress: Progress) -> Progress:
    """Return a state in which nothing is on its way; what is stable, and the modes that are on, stay."""
    return msgspec.structs.replace(
        progress,
        candidate=None,
        wave=-1,
        admitted_at="",
        resumed_at="",
        selectors=[],
        bound=0,
        total=0,
        held=[],
        waiting=0,
        paced_at="",
        refused=None,
        refused_commit="",
        approvals=[],
        paused_by="",
        paused_why="",
    )


def _noted(attempts: dict[str, int], digest: str, attempt: int) -> dict[str, int]:
    kept = {known: number for known, number in attempts.items() if known != digest}
    return dict([*list(kept.items())[-(ATTEMPTS_KEPT - 1) :], (digest, attempt)])


def _wave_name(progress: Progress, situation: Situation, candidate: Candidate) -> str:
    if progress.wave < 0:
        return ""
    planned = situation.waves(candidate, progress.attempt)
    return planned[progress.wave].step.name if progress.wave < len(planned) else ""
