"""One step of one fleet's rollout: read what is known, decide, keep what was decided with its events. Publishing comes after that.

A crash in between loses nothing: the next step finds what was kept, and makes the same document of it. What is published counts more
than what the registry remembers: one that was restored from a backup yields to it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from agent.protocol.rollout import Release, RolloutDocument, selected, slot
from reconciler.control.conduct.hosts import is_provable, read_hosts
from reconciler.control.conduct.membership import Roll, additive_since
from reconciler.control.records import Rolled
from reconciler.control.registry import events, rollouts, stops
from reconciler.control.registry.registry import Registry
from reconciler.control.rollout.document import document_of
from reconciler.control.rollout.evidence import Host, Tally, Terms, tally
from reconciler.control.rollout.gates import Gates, Hold, Stop
from reconciler.control.rollout.machine import Outcome, step
from reconciler.control.rollout.moves import Event
from reconciler.control.rollout.progress import Candidate, Progress
from reconciler.control.rollout.situation import Desired, Situation
from reconciler.publication.controls import Controls
from reconciler.publication.releases import Releases
from reconciler.publication.store import Store
from reconciler.publication.times import instant, stamp
from reconciler.rollouts.strategy import Strategy, strategy_of
from reconciler.rollouts.waves import Member, Wave, waves
from reconciler.rollouts.windows import Freeze

LOOK_EVERY = timedelta(seconds=1)
"""Between looks at a rollout that is under way: receipts come at any time."""
REST = timedelta(minutes=1)
"""Between looks at one that rests; news of releases and orders come sooner."""


Planned = Callable[[Candidate, int], Sequence[Wave]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One fleet to step: what is approved, what stands published, and by which lease."""

    tenant: str
    fleet: str
    controls: Controls
    releases: Releases
    standing: RolloutDocument | None
    epoch: int
    serial_floor: int
    now: datetime

    @property
    def name(self) -> str:
        """`<tenant>/<fleet>`."""
        return f"{self.tenant}/{self.fleet}"

    @property
    def strategy(self) -> Strategy:
        """The fleet's strategy."""
        return strategy_of(self.controls.fleets[self.fleet].rollout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What comes of a step: the document to publish, and when to look again."""

    document: RolloutDocument
    due: datetime
    moves: bool = False
    """Whether something is on its way, so that receipts may move it."""
    rollout: Rolled | None = None
    """How it stands, for whoever asks for the fleet's status."""


class Conductor:
    """Steps rollouts; one for a process, called by the one that publishes."""

    def __init__(self, registry: Registry, store: Store, *, held: Callable[[], Sequence[Hold]] = tuple) -> None:
        """`store` is where approved files stand; `held` says why no fleet may go forward now, a change of authority, say."""
        self._registry, self._held = registry, held
        self._roll = Roll(store)

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
        kept = rollouts.get(connection, task.tenant, task.fleet)
        before = _believed(kept, task)
        orders = rollouts.unfollowed(connection, task.tenant, task.fleet)
        outcome = step(before, self._situation(connection, task, before), orders)
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
        after = msgspec.structs.replace(outcome.progress, serial=document.serial, told=told)
        if kept is None or after != kept.progress or orders or rollouts.plain(outcome.holds) != kept.holds:
            rollouts.put(connection, task.tenant, task.fleet, after, holds=outcome.holds, epoch=task.epoch, now=task.now)
            rollouts.follow(connection, [order.id for order in orders], now=task.now)
            events.append(connection, [_event(task, one, before.told + number) for number, one in enumerate(outcome.events)])
        return Decided(document=document, due=_due(outcome, task.now), moves=not _rests(outcome), rollout=_rolled(task, outcome))

    def _situation(self, connection: Connection, task: Task, progress: Progress) -> Situation:
        def planned(candidate: Candidate, attempt: int) -> Sequence[Wave]:
            members = self._members(connection, task, candidate.release)
            return waves(task.strategy, members, candidate=candidate.release.digest, attempt=attempt)

        joining, admitted = self._shown(connection, task, progress, planned)
        return Situation(
            fleet=task.name,
            now=task.now,
            desired=_desired(task),
            strategy=task.strategy,
            waves=planned,
            joining=joining,
            admitted=admitted,
            gates=replace(_gates(connection, task), held=self._held()),
            provable=is_provable(connection, task.tenant, task.fleet),
            mode_wave=lambda name: self._mode_wave(connection, task, progress, name),
        )

    def _shown(self, connection: Connection, task: Task, progress: Progress, planned: Planned) -> tuple[Tally, Tally]:
        """Return what the hosts show whom the last wave newly reached, and what all show that were admitted."""
        candidate = progress.candidate
        if candidate is None or progress.wave < 0 or progress.phase != "applying":
            return Tally(), Tally()
        listed = planned(candidate, progress.attempt)
        index = min(progress.wave, len(listed) - 1)
        terms = Terms(
            admitted=instant(progress.admitted_at, what="wave"),
            soak=timedelta(seconds=listed[index].step.soak),
            timeout=timedelta(seconds=task.strategy.health.timeout),
        )
        now_in = Reach(candidate, progress.attempt, progress.selectors, progress.bound)
        before = Reach(candidate, progress.attempt, listed[index - 1].selectors, listed[index - 1].bound) if index else None
        known = read_hosts(connection, task.tenant, task.fleet, digest=candidate.release.digest, attempt=progress.attempt)
        admitted = [one for one in self._members(connection, task, candidate.release) if now_in.admits(one)]
        joining = [one for one in admitted if before is None or not before.admits(one)]
        shown = [[known.get(one.name) or Host(name=one.name) for one in some] for some in (joining, admitted)]
        return tally(shown[0], terms, task.now), tally(shown[1], terms, task.now)

    def _members(self, connection: Connection, task: Task, release: Release) -> Sequence[Member]:
        return self._roll.members(connection, task.releases, task.tenant, task.fleet, release.members)

    def _mode_wave(self, connection: Connection, task: Task, progress: Progress, name: str) -> Wave | None:
        if progress.stable is None:
            return None
        members = self._members(connection, task, progress.stable)
        return waves(task.strategy, members, candidate=name, attempt=progress.attempt)[0]


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom selectors and a bound admit to a candidate: as hosts decide for themselves."""

    candidate: Candidate
    attempt: int
    selectors: Sequence[Mapping[str, str]]
    bound: int

    def admits(self, member: Member) -> bool:
        """Return whether a member is admitted."""
        return selected(member.labels, self.selectors) or slot(self.candidate.release.digest, self.attempt, member.name) < self.bound


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
    return msgspec.structs.replace(
        stands,
        phase="waiting",
        candidate=Candidate(release=standing.candidate, commit="", decision=0, at=standing.not_before),
        attempt=standing.attempt,
        wave=0,
        admitted_at=stamp(task.now),
        selectors=standing.selectors,
        bound=standing.bound,
    )


def _desired(task: Task) -> Desired | None:
    release = task.releases.desired
    if release is None:
        return None
    parts = [part[1] for part in (task.releases.bundle, task.releases.members) if part is not None]
    newest = max(parts, key=lambda approval: approval.sequence)
    return Desired(
        release=release,
        commit=newest.commit,
        decision=newest.decision,
        additive=additive_since(task.releases),
    )


def _gates(connection: Connection, task: Task) -> Gates:
    """Return what may stand in the way of a fleet: freezes by manifest and by hand."""
    stated = [_manifest_freeze(one) for one in task.controls.freezes if task.fleet in one.get("fleets", ())]
    by_hand = [_freeze(one) for one in stops.on(connection, now=task.now, tenant=task.tenant) if one.is_about(task.tenant, task.fleet)]
    return Gates(stops=[*stated, *by_hand])


def _manifest_freeze(stated: Mapping[str, Any]) -> Stop:
    start, until = (datetime.fromisoformat(str(stated[name])).astimezone(UTC) for name in ("from", "until"))
    freeze = Freeze(name=str(stated["name"]), start=start, until=until)
    return Stop(freeze=freeze, reason=str(stated.get("reason", "")), owner=str(stated.get("owner", "")))


def _freeze(one: stops.Stop) -> Stop:
    return Stop(freeze=Freeze(name=f"by hand, number {one.id}", start=one.begins_at, until=one.until), reason=one.reason, owner=one.who)


def _event(task: Task, one: Event, number: int) -> events.Event:
    return events.Event(
        tenant=task.tenant,
        agent="",
        key=f"rollout.{task.fleet}.{number}",
        kind=f"rollout-{one.kind}",
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
    )


def _rests(outcome: Outcome) -> bool:
    return outcome.progress.candidate is None and not outcome.progress.switches
