"""One step of one fleet's rollout: read what is known, decide, keep what was decided with its events. Publishing comes after that.

A crash in between loses nothing: the next step finds what was kept, and makes the same document of it. What is published counts more
than what the registry remembers: one that was restored from a backup yields to it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import msgspec
from sqlalchemy import Connection

from agent.protocol.rollout import Release, RolloutDocument
from reconciler.control.conduct.due import BASE, Modes
from reconciler.control.conduct.gates import Gatekeeper, Standing
from reconciler.control.conduct.hosts import is_provable
from reconciler.control.conduct.looking import NOTHING_SHOWN, Attempt, Looking, Shown, Whose
from reconciler.control.conduct.membership import Roll, additive_since
from reconciler.control.conduct.modes import mode_hosts, mode_tally
from reconciler.control.conduct.pacing import paced_wave
from reconciler.control.conduct.planning import Asked, Plan, Plans, admitted
from reconciler.control.conduct.task import Task, desired_of
from reconciler.control.records import Rolled
from reconciler.control.registry import audit, events, rollouts
from reconciler.control.registry.registry import Registry
from reconciler.control.rollout.document import document_of
from reconciler.control.rollout.evidence import Tally, terms_of
from reconciler.control.rollout.machine import Outcome, step
from reconciler.control.rollout.moves import Event
from reconciler.control.rollout.orders import IGNORED
from reconciler.control.rollout.pacing import Pace
from reconciler.control.rollout.progress import Candidate, Progress, switched_at
from reconciler.control.rollout.situation import Situation
from reconciler.publication.store import Store
from reconciler.publication.times import stamp
from reconciler.rollouts.waves import Member, Wave

LOOK_EVERY = timedelta(seconds=1)
"""Between looks at a rollout that is under way: receipts come at any time."""
REST = timedelta(minutes=1)
"""Between looks at one that rests; news of releases and orders come sooner."""


Planned = Callable[[Candidate, int], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What comes of a step: the document to publish, and when to look again."""

    document: RolloutDocument
    due: datetime
    moves: bool = False
    """Whether something is on its way, so that receipts may move it."""
    rollout: Rolled | None = None
    """How it stands, for whoever asks for the fleet's status."""


TRANSITION = "rollout."
"""What actions in the audit begin with that the state machine took, by itself or as ordered; orders themselves are `rollouts.…`."""


class Conductor:
    """Steps rollouts; one for a process, called by the one that publishes."""

    def __init__(self, registry: Registry, store: Store, *, gatekeeper: Gatekeeper | None = None) -> None:
        """`store` is where approved files stand; `gatekeeper` reads what may be in the way."""
        self._registry, self._gatekeeper = registry, gatekeeper or Gatekeeper()
        self._roll, self._due = Roll(store), Modes(store)
        self._plans, self._looking, self._turn = Plans(), Looking(), 0

    def ordered(self, tenant: str) -> set[str]:
        """Return the fleets about which somebody ordered something that was not followed yet."""
        return self._registry.look(rollouts.ordered, tenant)

    def decide(self, task: Task) -> Decided:
        """Decide one fleet's next document, and keep what was decided.

        Raises:
            LostError: another serve leads under a higher epoch.
            RetryError: the registry can't be reached.
        """
        return self._registry.write(self._step, task)

    def _step(self, connection: Connection, task: Task) -> Decided:
        self._turn += 1
        kept = rollouts.get(connection, task.tenant, task.fleet)
        before = _believed(kept, task)
        orders = rollouts.unfollowed(connection, task.tenant, task.fleet)
        outcome = step(before, self._situation(connection, task, before, anew=False), orders)
        if outcome.events or outcome.progress != before:  # whatever moves it is read in this transaction, all of it
            outcome = step(before, self._situation(connection, task, before, anew=True), orders)
        document = document_of(
            task.standing,
            outcome.progress,
            outcome.modes,
            fleet=task.name,
            epoch=task.epoch,
            now=task.now,
            serial_floor=task.serial_floor,
        )
        told = before.told + len(outcome.events)
        after = self._gatekeeper.counted(connection, task, outcome.progress)
        happened = dict(Counter(before.happened) + Counter(one.kind for one in outcome.events))
        after = msgspec.structs.replace(after, serial=document.serial, told=told, happened=happened)
        if kept is None or after != kept.progress or orders or rollouts.plain(outcome.holds) != kept.holds:
            rollouts.put(connection, task.tenant, task.fleet, after, holds=outcome.holds, epoch=task.epoch, now=task.now)
            rollouts.follow(connection, [order.id for order in orders], now=task.now)
            events.append(connection, [_event(task, one, before.told + number) for number, one in enumerate(outcome.events)])
            for one in outcome.events:
                _audit(connection, task, one, commit=_commit(before, after))
        return Decided(document=document, due=_due(outcome, task.now), moves=not _rests(outcome), rollout=_rolled(task, outcome))

    def _situation(self, connection: Connection, task: Task, progress: Progress, *, anew: bool) -> Situation:
        """Return what is known now; what is kept from earlier looks is used unless all is to be read `anew`."""

        @cache
        def plan(candidate: Candidate, attempt: int) -> Plan:
            return self._plan(connection, task, candidate.release.digest, attempt, candidate.release, anew=anew)

        shown = self._shown(connection, task, progress, plan, anew=anew)
        standing = Standing(progress=progress, joining=shown.joining, who=lambda: _joining(progress, plan))
        return Situation(
            fleet=task.name,
            now=task.now,
            desired=desired_of(task, additive_since(task.releases)),
            is_listed=task.releases.lists,
            strategy=task.strategy,
            waves=lambda candidate, attempt: plan(candidate, attempt).waves,
            joining=shown.joining,
            admitted=shown.admitted,
            gates=self._gatekeeper.gates(connection, task, standing),
            provable=is_provable(connection, task.tenant, task.fleet),
            modes=self._modes(connection, task, progress),
            mode_wave=lambda name: self._mode_wave(connection, task, progress, name),
            pace=self._pace(connection, task, plan),
        )

    def _pace(self, connection: Connection, task: Task, plan: Planned) -> Callable[[Progress, Wave], Pace] | None:
        """Return what says how far a wave may go, where not all of it may go at once."""
        limit = task.strategy.unavailable
        if limit is None:
            return None

        def how_far(before: Progress, wave: Wave) -> Pace:
            assert before.candidate is not None  # noqa: S101 - only a candidate has waves
            planned = plan(before.candidate, before.attempt)
            return paced_wave(connection, task, limit, planned, before, wave)

        return how_far

    def _shown(self, connection: Connection, task: Task, progress: Progress, plan: Planned, *, anew: bool) -> Shown:
        """Return what the hosts show whom the last wave newly reached, and what all show that were admitted."""
        candidate = progress.candidate
        if candidate is None or progress.wave < 0 or progress.phase not in ("applying", "waiting"):
            self._looking.forget(task.tenant, task.fleet)
            return NOTHING_SHOWN
        planned = plan(candidate, progress.attempt)
        index = min(progress.wave, len(planned.waves) - 1)
        before, modes = planned.waves[index - 1] if index else None, task.standing.modes if task.standing else []
        attempt = Attempt(
            tenant=task.tenant,
            fleet=task.fleet,
            digest=candidate.release.digest,
            number=progress.attempt,
            terms=terms_of(progress, planned.waves[index].step, task.strategy.health, now=task.now),
            stage=(planned.members, progress.selectors, progress.bound, progress.held, before and (before.selectors, before.bound), modes),
        )

        def whose() -> Whose:
            due = self._due.due(task.name, candidate.release.digest, task.standing, planned.members, task.now)
            return Whose(who=admitted(planned, progress, before), due=due)

        return self._looking.look(connection, attempt, whose, task.now, turn=self._turn, anew=anew)

    def _members(self, connection: Connection, task: Task, release: Release) -> Sequence[Member]:
        return self._roll.members(connection, task.releases, task.tenant, task.fleet, release.members)

    def _mode_wave(self, connection: Connection, task: Task, progress: Progress, name: str) -> Wave | None:
        if progress.stable is None:
            return None
        standing = task.standing  # a candidate of which no wave was admitted is in no document yet, and so its attempt isn't
        attempt = standing.attempt if standing is not None and progress.wave < 0 else progress.attempt
        return self._plan(connection, task, name, attempt, progress.stable, anew=False).waves[0]

    def _modes(self, connection: Connection, task: Task, progress: Progress) -> dict[str, Tally]:
        """Return what hosts show of each mode that is not everywhere yet."""
        stable, trying = progress.stable, [one for one in progress.switches if not one.everywhere]
        if stable is None or not trying:
            return {}
        due = self._due.due(task.name, stable.digest, task.standing, self._members(connection, task, stable), task.now)
        switched, found = switched_at(progress, stamp(task.now)), dict[str, Tally]()
        for one in trying:
            wave = self._mode_wave(connection, task, progress, one.name)
            joining = wave.joining if wave is not None else ()
            names = [name for name in joining if due(name) in (one.name, BASE)]  # nothing can be shown where another overrules it
            known = mode_hosts(connection, task.tenant, task.fleet, one, names, digest=stable.digest)
            found[one.name] = mode_tally(known, one, task.strategy, switched=switched, now=task.now)
        return found

    def _plan(self, connection: Connection, task: Task, name: str, attempt: int, release: Release, *, anew: bool) -> Plan:
        asked = Asked(fleet=task.name, name=name, attempt=attempt, release=release, strategy=task.strategy)
        return self._plans.of(asked, lambda: self._members(connection, task, release), task.now, anew=anew)


def _joining(progress: Progress, plan: Planned) -> frozenset[str]:
    """Return the hosts whom the last wave newly reached, by name."""
    if progress.candidate is None:
        return frozenset()
    planned = plan(progress.candidate, progress.attempt)
    index = min(progress.wave, len(planned.waves) - 1)
    return admitted(planned, progress, planned.waves[index - 1] if index else None).joining


def _believed(kept: rollouts.Kept | None, task: Task) -> Progress:
    """Return how a rollout stands: as is kept, unless more is published than was kept, or nothing is."""
    standing = task.standing
    if kept is not None and (standing is None or standing.serial <= kept.progress.serial):
        return kept.progress
    if standing is None:
        return Progress()
    former = kept.progress if kept is not None else Progress()
    stands = msgspec.structs.replace(
        former, phase="settled", stable=standing.stable, candidate=None, wave=-1, selectors=[], bound=0, refused=None, approvals=[]
    )
    if standing.candidate is None:
        return stands
    return msgspec.structs.replace(  # nothing of it has proved itself to this registry, so it goes no further before it has
        stands,
        phase="applying",
        candidate=Candidate(release=standing.candidate, commit="", decision=0, at=standing.not_before),
        attempt=standing.attempt,
        wave=0,
        admitted_at=stamp(task.now),
        selectors=standing.selectors,
        bound=standing.bound,
        held=standing.held.names,
        waiting=len(standing.held.names),
    )


def _audit(connection: Connection, task: Task, one: Event, *, commit: str) -> None:
    """Write a transition into the tenant's audit, which is signed and brought into git: of which commit it was stands in its target."""
    target = f"{task.name}@{commit}" if commit else task.name
    detail = {"digest": one.digest, "attempt": one.attempt} | ({"wave": one.wave} if one.wave else {})
    audit.append(
        connection,
        task.tenant,
        who=one.who or "system",
        action=TRANSITION + one.kind,
        target=target,
        outcome="ignored" if one.kind == IGNORED else "done",
        reason=one.why,
        detail=detail,
        at=task.now,
    )


def _commit(before: Progress, after: Progress) -> str:
    """Return the commit that a step was about: of the candidate that is, or was, on its way; or of the stable release."""
    found = after.candidate or before.candidate
    return found.commit if found else after.refused_commit or after.stable_commit


def _event(task: Task, one: Event, number: int) -> events.Event:
    return events.Event(
        tenant=task.tenant,
        agent="",
        key=f"rollout.{task.fleet}.{number}",
        kind=events.ROLLOUT + one.kind,
        at=one.at,
        received_at=task.now,
        fleet=task.fleet,
        digest=one.digest,
        attempt=one.attempt,
        text=f"{one.why}{f' ({one.who})' if one.who and one.who not in one.why else ''}",
    )


def _due(outcome: Outcome, now: datetime) -> datetime:
    latest = now + (REST if _rests(outcome) else LOOK_EVERY)
    return min(latest, max(outcome.due or latest, now))


def _rolled(task: Task, outcome: Outcome) -> Rolled | None:
    """Return how it stands for the fleet's status, without counts: these change with each receipt, and a status is a file."""
    newest, progress, steps = task.releases.desired, outcome.progress, task.strategy.steps
    if newest is None:
        return None
    admitted = progress.candidate is not None and 0 <= progress.wave < len(steps)
    return Rolled(
        phase=progress.phase,
        digest=newest.digest,
        members=newest.members,
        wave=steps[progress.wave].name if admitted else "",
        number=progress.wave + 1 if admitted else 0,
        waves=len(steps),
        since=progress.since,
        waits=[progress.why] if progress.why else ["what its hosts show"] if progress.phase == "applying" else [],
        returns=list(_returns(progress)),
    )


def _returns(progress: Progress) -> Iterator[Release]:
    """Yield the releases that hosts run, or that they are sent back to by an order, each once."""
    candidate = progress.candidate.release if progress.candidate else None
    yield from dict.fromkeys(one for one in (progress.stable, candidate, *progress.former) if one is not None)


def _rests(outcome: Outcome) -> bool:
    return outcome.progress.candidate is None and not outcome.progress.switches
