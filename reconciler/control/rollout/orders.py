"""What people order: pause, resume, approve, abort, roll back, try again, switch a mode. Each with who and why, each an event."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from agent.protocol.state import Struct
from reconciler.control.rollout import moves
from reconciler.control.rollout.moves import Moved
from reconciler.control.rollout.progress import Approval, Candidate, Phase, Progress, Switch
from reconciler.control.rollout.situation import Situation
from reconciler.publication.times import instant, stamp
from reconciler.rollouts.waves import next_wave

_STANDS: Mapping[Phase, str] = {
    "settled": "no release is on its way",
    "waiting": "it is not paused",
    "applying": "it is not paused",
    "paused": "it is paused already",
    "stopped": "the release was taken back",
}
"""Why an order has nothing to do, for people."""
CLOCKS_BEHIND = timedelta(minutes=1)
"""By how much a host's clock may be behind, and it stays in a mode that is prolonged."""
Kind = Literal["pause", "resume", "approve", "abort", "rollback", "retry", "mode", "base"]
IGNORED = "order-ignored"
"""The event of an order that there was nothing to do for."""
_CALLED: Mapping[Kind, str] = {"mode": "mode set", "base": "mode end"}
"""What people call a kind of order, where that is another word."""


class Order(Struct):
    """One order; `id` is its number in the registry. `to` is the digest to go back to, "" for the stable release before.

    `digest` and `commit` are of `approve`: the release that is meant, by its first digits, "" for whichever is on its way.
    `mode` and `until` (RFC 3339) are of `mode` and `base`; `all_at_once` leaves the canary out, `most` is for how many seconds git lets
    the mode be on, 0 for without a bound.
    """

    id: int
    kind: Kind
    who: str
    reason: str
    at: str
    to: str = ""
    digest: str = ""
    commit: str = ""
    mode: str = ""
    until: str = ""
    all_at_once: bool = False
    most: int = 0


def follow(progress: Progress, order: Order, situation: Situation) -> Moved:
    """Return what comes of an order; one that there is nothing to do for is an event that says so."""
    return _FOLLOWED[order.kind](progress, order, situation)


def _pause(progress: Progress, order: Order, situation: Situation) -> Moved:
    if progress.phase not in ("waiting", "applying"):
        return _nothing(progress, order, situation, f"there is nothing to pause: {_STANDS[progress.phase]}")
    after = msgspec.structs.replace(progress, phase="paused", paused_by=order.who, paused_why=order.reason)
    why = f"paused by {order.who}: {order.reason}{_newer(progress, situation)}"
    return moves.told(after, situation, "paused", why, who=order.who)


def _newer(progress: Progress, situation: Situation) -> str:
    """Return in words that a newer release takes a paused one's place now, "" where none waits."""
    desired, candidate = situation.desired, progress.candidate
    there = (candidate.release if candidate else None, progress.stable)
    if desired is None or any(desired.release == one or desired.only_adds_to(one) for one in there):
        return ""
    held = f"`ordain freeze --fleet {situation.fleet} --for 2h --reason …` holds everything where it is"
    return f"; {desired.release.digest[:12]} is newer and takes its place, from the first wave on: {held}"


def _resume(progress: Progress, order: Order, situation: Situation) -> Moved:
    if progress.phase != "paused":
        return _nothing(progress, order, situation, f"there is nothing to resume: {_STANDS[progress.phase]}")
    phase: Literal["waiting", "applying"] = "waiting" if progress.wave < 0 else "applying"
    now = stamp(situation.now) if progress.admitted_at else ""
    after = msgspec.structs.replace(progress, phase=phase, paused_by="", paused_why="", admitted_at=now, resumed_at=now)
    return moves.told(after, situation, "resumed", f"resumed by {order.who}: {order.reason}", who=order.who)


def _approve(progress: Progress, order: Order, situation: Situation) -> Moved:
    if progress.candidate is None:
        return _nothing(progress, order, situation, "there is nothing to approve: no release is on its way")
    named = _named(progress.candidate)
    if not (progress.candidate.release.digest.startswith(order.digest) and progress.candidate.commit.startswith(order.commit)):
        meant = order.digest[:12] or f"that of commit {order.commit[:12]}"
        return _nothing(progress, order, situation, f"what is on its way is {named}, not {meant}: look at that first")
    planned = situation.waves(progress.candidate, progress.attempt)
    index = next_wave(planned, progress.wave)
    step = planned[index].step if index is not None else None
    if step is None or not step.approvers:
        return _nothing(progress, order, situation, "the next wave needs no approval")
    given = {one.who for one in progress.approvals if (one.wave, one.attempt) == (step.name, progress.attempt)}
    if order.who in given:
        return _nothing(progress, order, situation, f"{order.who} approved wave {step.name} already: {len(given)} of {step.approvers}")
    approval = Approval(wave=step.name, attempt=progress.attempt, who=order.who, at=order.at, comment=order.reason)
    after = msgspec.structs.replace(progress, approvals=[*progress.approvals, approval])
    many = f", {len(given) + 1} of {step.approvers}" if step.approvers > 1 else ""
    why = f"wave {step.name} of {named} approved by {order.who}{many}: {order.reason}"
    return moves.told(after, situation, "approved", why, who=order.who)


def _named(candidate: Candidate) -> str:
    return f"{candidate.release.digest[:12]}{f' of commit {candidate.commit[:12]}' if candidate.commit else ''}"


def _abort(progress: Progress, order: Order, situation: Situation) -> Moved:
    if progress.candidate is None:
        return _nothing(progress, order, situation, "there is nothing to abort: no release is on its way")
    return moves.taken_back(progress, situation, f"aborted by {order.who}: {order.reason}", kind="aborted", who=order.who)


def _rollback(progress: Progress, order: Order, situation: Situation) -> Moved:
    if progress.candidate is not None and not order.to:
        return moves.taken_back(progress, situation, f"rolled back by {order.who}: {order.reason}", kind="rolled-back", who=order.who)
    there = [one for one in progress.former if situation.is_listed(one)]
    names = ", ".join(one.digest[:12] for one in there) or "none"
    if progress.phase == "stopped" and progress.stable is not None and not order.to:
        why = f"it went back already, to {progress.stable.digest[:12]}; to go further, name the release (--to): there is {names}"
        return _nothing(progress, order, situation, why)
    goal = next((one for one in there if one.digest.startswith(order.to)), None)
    if goal is None:
        return _nothing(progress, order, situation, f"there is no such earlier release to go back to; there is {names}")
    why = f"rolled back to {goal.digest[:12]} by {order.who}: {order.reason}"
    return moves.back_to(progress, situation, goal, why, who=order.who)


def _retry(progress: Progress, order: Order, situation: Situation) -> Moved:
    if progress.refused is None and progress.phase != "paused":
        return _nothing(progress, order, situation, "there is nothing to try again: no release was taken back or paused")
    paused = progress.candidate
    after = msgspec.structs.replace(progress, refused=None, candidate=None, phase="settled", paused_by="", paused_why="")
    if paused is not None:
        attempts = {**after.attempts, paused.release.digest: progress.attempt}
        after = msgspec.structs.replace(after, attempts=attempts)
    return moves.told(after, situation, "retried", f"to be tried again, by {order.who}: {order.reason}", who=order.who)


def _mode(progress: Progress, order: Order, situation: Situation) -> Moved:
    others, now = [one for one in progress.switches if one.name != order.mode], stamp(situation.now)
    on = next((one for one in progress.switches if one.name == order.mode and one.until > now), None)
    switch = Switch(name=order.mode, start=now, until=order.until, who=order.who, reason=order.reason, everywhere=order.all_at_once)
    where = "everywhere at once" if order.all_at_once else "on the first wave's hosts first"
    if on is not None:
        switch = _prolonged(on, switch, order, situation.now)
        where = where if order.all_at_once else "where it is on already"
    after = msgspec.structs.replace(progress, switches=[*others, switch])
    why = f"mode {order.mode} on until {switch.until}, {where}, by {order.who}: {order.reason}"
    return moves.told(after, situation, "mode-on", why, who=order.who)


def _prolonged(on: Switch, switch: Switch, order: Order, now: datetime) -> Switch:
    """Return a switch with another end, of a mode that is on: hosts that are in it stay in it, and what they proved counts.

    It begins when it did, or so much later that hosts don't refuse it for being longer than git allows; then its end is as much earlier
    as their clocks may be behind, for whom it has not begun would leave it.
    """
    start, until = on.start, order.until
    if order.most:
        longest = timedelta(seconds=order.most)
        earliest = min(instant(order.until, what="mode") - longest, now - CLOCKS_BEHIND)
        start = max(on.start, stamp(earliest))
        until = min(order.until, stamp(instant(start, what="mode") + longest))
    everywhere = switch.everywhere or on.everywhere
    return msgspec.structs.replace(switch, start=start, until=until, began=on.since, everywhere=everywhere, everywhere_at=on.everywhere_at)


def _base(progress: Progress, order: Order, situation: Situation) -> Moved:
    left = [one for one in progress.switches if one.name != order.mode]
    if len(left) == len(progress.switches):
        return _nothing(progress, order, situation, f"mode {order.mode} is not on")
    after = msgspec.structs.replace(progress, switches=left)
    return moves.told(after, situation, "mode-off", f"mode {order.mode} off by {order.who}: {order.reason}", who=order.who)


def _nothing(progress: Progress, order: Order, situation: Situation, why: str) -> Moved:
    return moves.told(progress, situation, IGNORED, f"{by(order)}: {why}", who=order.who)


def by(order: Order) -> str:
    """Return the words that an event of an order begins with that there was nothing to do for."""
    return f"{_CALLED.get(order.kind, order.kind)} by {order.who}"


_FOLLOWED: Mapping[Kind, Callable[[Progress, Order, Situation], Moved]] = {
    "pause": _pause,
    "resume": _resume,
    "approve": _approve,
    "abort": _abort,
    "rollback": _rollback,
    "retry": _retry,
    "mode": _mode,
    "base": _base,
}
