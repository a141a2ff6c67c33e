"""A fleet that a rollout is run on in memory: hosts that decide by the agents' own function, and a clock that jumps to what comes next."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from agent.protocol import rollout
from agent.protocol.rollout import Release, RolloutDocument, selected, slot
from reconciler.control.rollout.document import document_of
from reconciler.control.rollout.evidence import Host, Said, Tally, Terms, tally
from reconciler.control.rollout.gates import Gates, Stop
from reconciler.control.rollout.machine import Outcome, step
from reconciler.control.rollout.moves import Event
from reconciler.control.rollout.orders import Kind, Order
from reconciler.control.rollout.pacing import Pace, Placed, pace
from reconciler.control.rollout.progress import Candidate, Progress
from reconciler.control.rollout.situation import Desired, Situation
from reconciler.rollouts.strategy import Strategy, strategy_of
from reconciler.rollouts.waves import Member, Wave, waves
from reconciler.rollouts.windows import Freeze

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HEARTBEAT = timedelta(seconds=60)
LOST_AFTER = 5 * HEARTBEAT
OLD = Release(digest="a" * 64, members=1)
NEW = Release(digest="b" * 64, members=1)
NEWER = Release(digest="c" * 64, members=1)
CANARY = {"waves": [{"name": "canary", "matchLabels": {"canary": "true"}, "soak": 600}, {"name": "rest", "limit": "100%", "soak": 600}]}
FREEZE = Stop(freeze=Freeze(name="peak", start=NOON, until=NOON + timedelta(days=2)), reason="peak season", owner="ana")
Behaviour = Callable[[str, Release, int], str]
"""(host, release, attempt) → what it reports of it: a result, "" for nothing ever, `gone` for falling silent."""


def desired(release: Release, **more: object) -> Desired:
    """Return a newest release."""
    return Desired(release=release, commit=release.digest[:40], decision=ord(release.digest[0]), **more)  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Fleet:
    """Hosts, and the controller's side of one fleet's rollout."""

    strategy: Strategy
    members: Sequence[Member]
    behave: Behaviour = lambda _host, _release, _attempt: "applied"
    away: frozenset[str] = frozenset()
    now: datetime = NOON
    gates: Gates = field(default_factory=Gates)
    progress: Progress = field(default_factory=Progress)
    document: RolloutDocument | None = None
    events: list[Event] = field(default_factory=list)
    outcome: Outcome | None = None
    said: dict[tuple[str, str, int], Said] = field(default_factory=dict)
    gone: dict[str, datetime] = field(default_factory=dict)
    returned: dict[str, datetime] = field(default_factory=dict)
    """When hosts came back that were away before."""
    most: int = 0
    """The most hosts that had the candidate at any time."""

    def step(self, wanted: Desired | None, *orders: Order) -> Outcome:
        """Let the controller decide once, and the hosts follow its document."""
        outcome = step(self.progress, self.situation(wanted), orders)
        self.outcome, self.progress = outcome, outcome.progress
        self.events += outcome.events
        self.document = document_of(self.document, self.progress, outcome.modes, fleet="shop/web", epoch=1, now=self.now)
        self._follow()
        return outcome

    def run(self, wanted: Desired, *, most: int = 400) -> Progress:
        """Step and let time pass until nothing changes by itself."""
        for _ in range(most):
            before = self.progress
            outcome = self.step(wanted)
            if outcome.due is None and self.progress == before:
                break
            self.now = max(self.now + timedelta(seconds=1), min(outcome.due or self.now, self.now + timedelta(hours=1)))
        return self.progress

    def situation(self, wanted: Desired | None) -> Situation:
        """Return what is known now."""
        joining, admitted = self._tallies()
        return Situation(
            fleet="shop/web",
            now=self.now,
            desired=wanted,
            strategy=self.strategy,
            waves=self.waves,
            joining=joining,
            admitted=admitted,
            gates=self.gates,
            pace=self.pace if self.strategy.unavailable else None,
        )

    def pace(self, before: Progress, wave: Wave) -> Pace:
        """Return how far a wave may go."""
        assert before.candidate is not None
        assert self.strategy.unavailable is not None
        limit, digest = self.strategy.unavailable, before.candidate.release.digest
        hosts = [self._placed(one, digest, before, wave) for one in self.members]
        sizes = Counter(one.labels.get(limit.label, "") if limit.label else "" for one in self.members)
        reached = [one for one in hosts if one.selected or one.slot < wave.bound]
        return pace(limit, reached, sizes, bound=before.bound, most=wave.bound)

    def _placed(self, one: Member, digest: str, before: Progress, wave: Wave) -> Placed:
        host = self._host(one.name, digest, before.attempt)
        place = slot(digest, before.attempt, one.name)
        let = (place < before.bound or selected(one.labels, before.selectors)) and one.name not in before.held
        well = host.said is not None and host.said.result == "applied"
        chosen = selected(one.labels, wave.selectors)
        return Placed(name=one.name, labels=one.labels, slot=place, selected=chosen, let=let, there=host.connected, well=well)

    def waves(self, candidate: Candidate, attempt: int) -> Sequence[Wave]:
        """Return the waves of an attempt."""
        return waves(self.strategy, self.members, candidate=candidate.release.digest, attempt=attempt)

    def has(self) -> list[str]:
        """Return the hosts that take the candidate, by the function that hosts decide by."""
        document = self.document
        if document is None or document.candidate is None:
            return []
        return [one.name for one in self.members if rollout.choose(document, agent=one.name, labels=one.labels) == document.candidate]

    def count(self, kind: str) -> int:
        """Return how many events of a kind there were."""
        return sum(event.kind == kind for event in self.events)

    def _follow(self) -> None:
        taking = self.has()
        self.most = max(self.most, len(taking))
        document = self.document
        if document is None or document.candidate is None:
            return
        for host in taking:
            if host in self.away or host in self.gone:
                continue
            result = self.behave(host, document.candidate, document.attempt)
            if result == "gone":
                self.gone[host] = self.now
            elif result:
                self.said.setdefault((host, document.candidate.digest, document.attempt), Said(result=result, at=self.now))  # type: ignore[arg-type]

    def _host(self, name: str, digest: str, attempt: int) -> Host:
        said = self.said.get((name, digest, attempt))
        if name in self.away:
            return Host(name=name, seen=NOON - timedelta(days=2), connected=False, since=NOON - timedelta(days=1))
        gone = self.gone.get(name)
        if gone is not None:
            lost = self.now - gone > LOST_AFTER
            return Host(name=name, seen=gone, connected=not lost, since=gone + LOST_AFTER if lost else None, said=said)
        return Host(name=name, seen=self.now, connected=True, since=self.returned.get(name), said=said)

    def _tallies(self) -> tuple[Tally, Tally]:
        candidate, progress = self.progress.candidate, self.progress
        if candidate is None or progress.wave < 0 or progress.phase not in {"applying", "waiting"}:
            return Tally(), Tally()
        planned = self.waves(candidate, progress.attempt)
        earlier = planned[progress.wave - 1] if progress.wave else None
        now_in = [
            one
            for one in self.members
            if one.name not in progress.held and _in(one, progress.selectors, progress.bound, candidate, progress.attempt)
        ]
        before = {one.name for one in now_in if earlier and _in(one, earlier.selectors, earlier.bound, candidate, progress.attempt)}
        terms = Terms(
            admitted=_instant(max(progress.admitted_at, progress.paced_at)),
            soak=timedelta(seconds=planned[progress.wave].step.soak),
            timeout=timedelta(seconds=self.strategy.health.timeout),
            resumed=_instant(progress.resumed_at) if progress.resumed_at else None,
        )
        hosts = {one.name: self._host(one.name, candidate.release.digest, progress.attempt) for one in now_in}
        joining = [host for name, host in hosts.items() if name not in before]
        return tally(joining, terms, self.now), tally(hosts.values(), terms, self.now)


def _in(one: Member, selectors: Sequence[object], bound: int, candidate: Candidate, attempt: int) -> bool:
    return selected(one.labels, selectors) or slot(candidate.release.digest, attempt, one.name) < bound  # type: ignore[arg-type]


@cache
def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def members(count: int = 20, *, canaries: int = 2) -> list[Member]:
    return [Member(name=f"web-{number:03}", labels={"canary": "true"} if number < canaries else {}) for number in range(count)]


def fleet(rollout: dict[str, object] | None = None, **more: object) -> Fleet:
    made = Fleet(strategy=strategy_of(CANARY if rollout is None else rollout), members=members(), **more)  # type: ignore[arg-type]
    made.progress = Progress(stable=OLD)
    return made


def order(kind: Kind, **more: object) -> Order:
    return Order(id=1, kind=kind, who="operator:ana", reason="a reason", at="2026-11-23T12:00:00Z", **more)  # type: ignore[arg-type]


def kinds(one: Fleet) -> list[str]:
    return [event.kind for event in one.events]
