"""The state machine of rollouts: (how it stands, what is known now) → (how it stands next, the document, events, what it waits for).

    orders ─▶ still offered? ─▶ newest release ─▶ judge the admitted wave ─▶ go forward ─▶ modes

Going back needs nothing: no window, no approval, and no freeze stands in its way. Going forward needs all of it, and evidence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import msgspec

from agent.protocol.rollout import HELD_LIMIT, ModeSwitch
from reconciler.control.rollout import moves, pacing
from reconciler.control.rollout.evidence import Tally
from reconciler.control.rollout.fates import noted
from reconciler.control.rollout.gates import Hold, holds, passed, refusing, unanswered, unapproved
from reconciler.control.rollout.moves import Event, Moved
from reconciler.control.rollout.orders import Order, follow
from reconciler.control.rollout.progress import Candidate, Progress, Switch
from reconciler.control.rollout.situation import Desired, Situation
from reconciler.publication.times import instant, stamp
from reconciler.rollouts.strategy import WHOLE, Health
from reconciler.rollouts.waves import Wave, next_wave

Move = Callable[[Progress, Situation], Moved]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What comes of one step: `holds` is what the rollout waits for now, `due` when to look again although nothing is heard."""

    progress: Progress
    events: tuple[Event, ...] = ()
    holds: tuple[Hold, ...] = ()
    due: datetime | None = None
    modes: tuple[ModeSwitch, ...] = field(default=())
    """The modes that are on, as the rollout document has them."""


def step(progress: Progress, situation: Situation, orders: Sequence[Order] = ()) -> Outcome:
    """Return where a rollout goes from here; the same where nothing moves it.

    At most one wave is admitted, since what its hosts show is not known before it is.
    """
    events: list[Event] = []
    before, stood = (progress.admitted_at, progress.wave), (progress.phase, progress.wave)
    had, switched = progress.candidate is not None, progress.switches
    steps: list[Move] = [*(partial(_order, order) for order in orders), _offered, _newest, _judge, _paced, _forward, _switches]
    for take in steps:
        moved = take(progress, situation)
        progress, events = moved.progress, [*events, *moved.events]
    progress = noted(progress, situation, events)
    if (progress.admitted_at, progress.wave) != before:
        situation = replace(situation, joining=Tally(due=situation.now), admitted=Tally())  # another wave: nothing is known of it yet
    if progress.switches != switched:
        progress = msgspec.structs.replace(progress, switched_at=stamp(situation.now))
    waits = tuple(_waits(progress, situation))
    said = _said(progress, situation, waits)
    anew = (progress.phase, progress.wave) != stood or (not waits and said != progress.why)
    progress = msgspec.structs.replace(_dated(progress, {one.kind for one in waits}, stamp(situation.now), anew=anew), why=said)
    modes = tuple(_mode(one, situation) for one in progress.switches)
    ended = had and progress.candidate is None  # a newer release may have waited for that
    due = situation.now if ended else _due(progress, situation, waits)
    return Outcome(progress=progress, events=tuple(events), holds=waits, due=due, modes=modes)


def _dated(progress: Progress, kinds: set[str], now: str, *, anew: bool) -> Progress:
    """Return a state with since when it stands so, and waits for each kind: other words for the same begin nothing anew."""
    known = {} if anew else progress.waits or dict.fromkeys(kinds, progress.since)  # a version before this one kept no kinds
    since = now if anew or known.keys() != kinds else progress.since
    return msgspec.structs.replace(progress, since=since, waits={kind: known.get(kind, now) for kind in sorted(kinds)})


def _order(order: Order, progress: Progress, situation: Situation) -> Moved:
    return follow(progress, order, situation)


def _offered(progress: Progress, situation: Situation) -> Moved:
    """Take a candidate back that is listed no more: it was delisted as its first wave was admitted, and no host can fetch it."""
    candidate = progress.candidate
    if candidate is None or progress.wave < 0 or situation.is_listed(candidate.release):
        return Moved(progress=progress)
    return moves.taken_back(progress, situation, "it was taken off the list of releases that hosts may run", kind="withdrawn")


def _newest(progress: Progress, situation: Situation) -> Moved:
    """Take up the newest release, unless one is on its way or it was taken back."""
    desired, candidate = situation.desired, progress.candidate
    if desired is None or desired.release == progress.refused:
        return Moved(progress=progress)
    if candidate is not None:
        return _beside(progress, situation, desired, candidate)
    if desired.only_adds_to(progress.refused):
        return moves.still_refused(progress, situation, desired)
    if desired.release == progress.stable:
        return Moved(progress=msgspec.structs.replace(progress, phase="settled", refused=None))
    return _anew(progress, situation, desired)


def _anew(progress: Progress, situation: Situation, desired: Desired) -> Moved:
    """Take up a release that is neither stable nor refused, while nothing is on its way; what only adds hosts needs no waves."""
    if desired.only_adds_to(progress.stable):
        return moves.at_once(progress, situation, desired, "hosts were added; what runs on the others stays")
    if not situation.provable:
        return moves.at_once(progress, situation, desired, "stable at once: no host of it is enrolled, so none can prove anything")
    return moves.taken_up(progress, situation, desired)


def _beside(progress: Progress, situation: Situation, desired: Desired, candidate: Candidate) -> Moved:
    """Return what becomes of a candidate when there is another newest release: it is finished first, unless it has not begun."""
    if desired.release == candidate.release:
        return Moved(progress=progress)
    if desired.only_adds_to(candidate.release):
        grown = msgspec.structs.replace(candidate, release=desired.release)
        return Moved(progress=msgspec.structs.replace(progress, candidate=grown, stable=desired.to_go_back_to(progress.stable)))
    if desired.release == progress.stable or desired.only_adds_to(progress.stable):
        back = moves.taken_back(progress, situation, "git went back to the stable release", kind="withdrawn")
        after = msgspec.structs.replace(back.progress, refused=None, phase="settled")
        return Moved(progress=after, events=back.events)
    if progress.phase == "paused" or progress.wave < 0:
        return moves.taken_up(progress, situation, desired)
    return Moved(progress=progress)


def _judge(progress: Progress, situation: Situation) -> Moved:
    """Take a candidate back that hurts, also while it waits for its next wave; end a wave that has proved itself."""
    if progress.phase not in ("applying", "waiting") or progress.candidate is None or progress.wave < 0:
        return Moved(progress=progress)
    health = situation.strategy.health
    bad = _failing(situation, health) or refusing(situation.gates)
    if bad and health.pause:
        after = msgspec.structs.replace(progress, phase="paused", paused_by="health", paused_why=bad)
        return moves.told(after, situation, "failed", f"{bad}; paused, as its strategy has it")
    if bad:
        return moves.taken_back(progress, situation, bad)
    proved = _passed(situation.joining, health) and not progress.waiting
    if progress.phase == "waiting" or not proved or unanswered(situation.gates) is not None:
        return Moved(progress=progress)
    planned = situation.waves(progress.candidate, progress.attempt)
    name = planned[progress.wave].step.name if progress.wave < len(planned) else "last"
    after = msgspec.structs.replace(progress, phase="waiting")
    return moves.told(after, situation, "proved", f"wave {name}: {_counted(situation.joining)}", wave=name)


def _paced(progress: Progress, situation: Situation) -> Moved:
    """Let more hosts of the admitted wave go, where some wait for others."""
    if progress.phase != "applying" or progress.candidate is None or situation.pace is None or not (progress.waiting or progress.held):
        return Moved(progress=progress)
    planned = situation.waves(progress.candidate, progress.attempt)
    wave = planned[min(progress.wave, len(planned) - 1)]
    return Moved(progress=moves.paced(progress, situation, situation.pace(progress, wave)))


def _forward(progress: Progress, situation: Situation) -> Moved:
    """Admit the next wave that reaches anybody, where nothing holds it; after the last one, the candidate is stable."""
    if progress.phase != "waiting" or progress.candidate is None:
        return Moved(progress=progress)
    planned = situation.waves(progress.candidate, progress.attempt)
    index = next_wave(planned, progress.wave)
    if index is None or planned[index].step.implied:
        return moves.done(progress, situation) if not _held_by_gates(situation) else Moved(progress=progress)
    if _held(progress, situation, planned[index]) or planned[index].is_empty:
        return Moved(progress=progress)
    through = passed(situation.gates, situation.strategy, now=situation.now)
    moved = moves.admitted(progress, situation, index, planned[index], total=planned[-1].reached, through=through)
    if situation.pace is None:
        return moved
    first = situation.pace(progress, planned[index])
    return replace(moved, progress=moves.paced(msgspec.structs.replace(moved.progress, bound=progress.bound), situation, first))


def _switches(progress: Progress, situation: Situation) -> Moved:
    """End modes whose time is over or that hurt; let those go everywhere that have proved themselves."""
    events: list[Event] = []
    kept: list[Switch] = []
    now = stamp(situation.now)
    for one in progress.switches:
        switch, kind, why = _switched(one, situation, now)
        if switch is not None:
            kept.append(switch)
        if kind:
            events += moves.told(progress, situation, kind, why, who=one.who).events
    return Moved(progress=msgspec.structs.replace(progress, switches=kept), events=tuple(events))


def _switched(one: Switch, situation: Situation, now: str) -> tuple[Switch | None, str, str]:
    if one.until <= now:
        return None, "mode-ended", f"mode {one.name} ended at {one.until}"
    shown = situation.modes.get(one.name)
    if one.everywhere or shown is None:
        return one, "", ""
    if _below(shown, situation.strategy.health):
        return None, "mode-taken-back", f"mode {one.name}: {_counted(shown)}{_named(shown)}"
    if _passed(shown, situation.strategy.health):
        return msgspec.structs.replace(one, everywhere=True, everywhere_at=now), "mode-everywhere", f"mode {one.name}: {_counted(shown)}"
    return one, "", ""


def _mode(one: Switch, situation: Situation) -> ModeSwitch:
    wave = None if one.everywhere else situation.mode_wave(one.name)
    if wave is None:
        return ModeSwitch(name=one.name, start=one.start, until=one.until)
    selectors = [dict(selector) for selector in wave.selectors]
    return ModeSwitch(name=one.name, start=one.start, until=one.until, selectors=selectors, bound=wave.bound)


def _failing(situation: Situation, health: Health) -> str:
    """Return in words that the admitted hosts, or those of the last wave, can no longer reach the threshold; "" if they can."""
    for shown, whom in ((situation.joining, "of this wave"), (situation.admitted, "of all that have it")):
        if _below(shown, health):
            return (
                f"{shown.failed} of {shown.reachable} hosts {whom} failed{_named(shown)}, more than {_share(WHOLE - health.threshold)} may"
            )
    return ""


def _named(shown: Tally) -> str:
    """Return the hosts that failed, as ` (web-1, web-2, …)`, "" where none did."""
    return f" ({', '.join(shown.names)}{', …' if shown.failed > len(shown.names) else ''})" if shown.names else ""


def _below(shown: Tally, health: Health) -> bool:
    """Return whether the threshold can't be reached any more; where all failed, no threshold is low enough."""
    return shown.failed * WHOLE > (WHOLE - health.threshold) * shown.reachable or shown.failed == shown.reachable > 0


def _passed(shown: Tally, health: Health) -> bool:
    """Return whether enough have shown something, and enough of those that they are well."""
    return (
        shown.healthy > 0
        and shown.decided * WHOLE >= health.quorum * shown.reachable
        and shown.healthy * WHOLE >= health.threshold * shown.decided
    )


def _held(progress: Progress, situation: Situation, wave: Wave) -> list[Hold]:
    found, waiting = _held_by_gates(situation), wave.step
    many = situation.pace(progress, wave).too_many if situation.pace is not None else 0
    if many:
        why = f"wave {waiting.name} selects {many:,} hosts by labels that would wait for others, and {HELD_LIMIT:,} can: give it a limit"
        found.append(Hold(kind="unavailable", why=why))
    given = [one.who for one in progress.approvals if (one.wave, one.attempt) == (waiting.name, progress.attempt)]
    missing = unapproved(waiting, given)
    return [*found, *([missing] if missing else [])]


def _held_by_gates(situation: Situation) -> list[Hold]:
    return list(holds(situation.gates, situation.strategy, now=situation.now))


def _waits(progress: Progress, situation: Situation) -> Sequence[Hold]:
    """Return what a rollout waits for, for people."""
    if progress.candidate is None:
        return ()
    planned = situation.waves(progress.candidate, progress.attempt)
    if progress.phase == "applying":
        silent, limit = unanswered(situation.gates), situation.strategy.unavailable
        busy = [Hold(kind="unavailable", why=pacing.told(limit, progress.waiting))] if limit is not None and progress.waiting else []
        return [Hold(kind="evidence", why=_evidence(situation), until=situation.joining.due), *busy, *([silent] if silent else [])]
    index = next_wave(planned, progress.wave)
    if progress.phase != "waiting":
        return ()
    if index is None:
        return _held_by_gates(situation)
    empty = Hold(kind="empty", why=f"wave {planned[index].step.name} selects no member: give hosts its labels, or change the strategy")
    return [*_held(progress, situation, planned[index]), *([empty] if planned[index].is_empty else [])]


def _evidence(situation: Situation) -> str:
    shown, health = situation.joining, situation.strategy.health
    if not shown.total:
        return "what its hosts show"
    if not shown.reachable:
        return f"none of the {shown.away} hosts of this wave is connected"
    return f"{_counted(shown)}; {_share(health.quorum)} must show something, {_share(health.threshold)} of them that they are well"


def _counted(shown: Tally) -> str:
    counts = (
        (shown.healthy, "healthy"),
        (shown.soaking, "soaking"),
        (shown.pending, "not there yet"),
        (shown.failed, "failed"),
        (shown.away, "away"),
    )
    return ", ".join(f"{count} {what}" for count, what in counts if count) or "nobody"


def _share(thousandths: int) -> str:
    return f"{thousandths / 1000:g} %"


def _said(progress: Progress, situation: Situation, waits: Sequence[Hold]) -> str:
    if progress.phase == "settled":
        return "" if progress.stable else "waiting for its first release"
    if progress.phase == "paused":
        return f"paused by {progress.paused_by}{f': {progress.paused_why}' if progress.paused_why else ''}"
    if progress.phase == "stopped":
        refused = progress.refused.digest[:12] if progress.refused else "the newest release"
        back = f", everybody gets {progress.stable.digest[:12]}" if progress.stable else ""
        return f"{refused} was taken back{back}: a new commit, or `ordain rollout retry {situation.fleet}`, goes on"
    return "; ".join(one.why for one in waits if one.kind != "evidence")


def _due(progress: Progress, situation: Situation, waits: Sequence[Hold]) -> datetime | None:
    moments = [one.until for one in waits if one.until is not None]
    moments += [instant(one.until, what="mode") for one in progress.switches]
    if progress.phase in ("applying", "waiting") and situation.admitted.due is not None:
        moments.append(situation.admitted.due)
    return min(moments, default=None)
