"""What became of commits: noted at each step of a rollout, so that whoever waits for one is told also when newer ones came since."""

from collections.abc import Sequence

import msgspec

from agent.protocol.rollout import Release
from reconciler.control.rollout.moves import Event
from reconciler.control.rollout.progress import FATES_KEPT, Ended, Fate, Progress
from reconciler.control.rollout.situation import Situation
from reconciler.publication.times import stamp

BACK = ("taken-back", "aborted", "rolled-back")
"""Events that tell of a release that was taken back."""


def noted(progress: Progress, situation: Situation, events: Sequence[Event]) -> Progress:
    """Return a state that knows what became of the commits that were met so far; the same where nothing new did.

    A commit that only added hosts to another one's release, or that brought it again, has that release's fate.
    """
    known = [_after(one, progress, situation, events) for one in _met(progress, situation)]
    commits = {one.digest: progress.commits[one.digest] for one in progress.former if one.digest in progress.commits}
    if progress.stable is not None and progress.stable_commit:
        commits[progress.stable.digest] = progress.stable_commit
    return msgspec.structs.replace(progress, fates=known[-FATES_KEPT:], commits=commits)


def _met(progress: Progress, situation: Situation) -> list[Fate]:
    """Return the commits that are known, and those that are met now, the newest last."""
    candidate, desired = progress.candidate, situation.desired
    now = [
        (progress.stable_commit, progress.stable),
        (progress.refused_commit, progress.refused),
        (candidate.commit, candidate.release) if candidate else ("", None),
        (desired.commit, desired.release) if desired else ("", None),
    ]
    known = {one.commit: one for one in progress.fates}
    again = known.get(desired.commit) if desired else None
    if again is not None and desired is not None and again.release.digest != desired.release.digest:
        del known[again.commit]  # time alone brought another release of it: a waiver ended, say
        now.reverse()
    for commit, release in now:
        if commit and release is not None and commit not in known:
            known[commit] = Fate(commit=commit, release=release, at=stamp(situation.now))
    return list(known.values())


def _after(one: Fate, progress: Progress, situation: Situation, events: Sequence[Event]) -> Fate:
    """Return what became of a commit; what it was is kept where nothing says otherwise."""
    candidate = progress.candidate.release if progress.candidate else None
    if _brings(candidate, one):
        return _become(one, "", situation) if one.outcome == "taken-back" else one  # it is tried again
    if one.release != progress.stable and _brings(progress.refused, one):
        return _become(one, "taken-back", situation, why=_why(events))
    if _brings(progress.stable, one):
        return _become(one, "stable", situation)
    if one.outcome:
        return one
    if any(event.kind in BACK and event.digest == one.release.digest for event in events):
        return _become(one, "taken-back", situation, why=_why(events))
    desired = situation.desired
    newest = desired.commit if desired else one.commit
    return one if newest == one.commit or (desired and _brings(desired.release, one)) else _become(one, "superseded", situation, by=newest)


def _brings(release: Release | None, one: Fate) -> bool:
    """Return whether a release is a commit's: it may have more hosts since, and members are numbered upwards."""
    return release is not None and release.digest == one.release.digest and one.release.members <= release.members


def _become(one: Fate, outcome: Ended, situation: Situation, *, why: str = "", by: str = "") -> Fate:
    if one.outcome == outcome:
        return one
    return msgspec.structs.replace(one, outcome=outcome, at=stamp(situation.now), why=why, by=by)


def _why(events: Sequence[Event]) -> str:
    return next((event.why for event in events if event.kind in (*BACK, "withdrawn")), "")
