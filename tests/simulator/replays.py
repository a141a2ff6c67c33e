"""Rollouts replayed in memory with dice: hosts that fail, are slow, fall silent, come and go; freezes, pauses, approvals and new releases.

What must hold is reckoned here from what hosts did, and by none of the code that decides. `python -m tests.simulator.replays N` runs one.
"""

import random
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agent.protocol.rollout import BOUND_ALL, Release, selected, slot
from reconciler.control.rollout.evidence import Said
from reconciler.control.rollout.gates import Gates, Stop
from reconciler.control.rollout.moves import Event
from reconciler.control.rollout.orders import Kind, Order
from reconciler.control.rollout.progress import Progress
from reconciler.publication.times import instant
from reconciler.rollouts.strategy import WHOLE, strategy_of
from reconciler.rollouts.waves import Member
from reconciler.rollouts.windows import Freeze
from tests.rollout_cases import LOST_AFTER, NEW, NEWER, NOON, OLD, Fleet, desired

STEPS = 250
FAILING = (0.0, 0.0, 0.02, 0.05, 0.2, 0.5, 1.0)
"""Shares of hosts that fail, one of which is drawn for each replay."""
BACK = ("taken-back", "aborted", "rolled-back", "withdrawn")
PEOPLE = ("operator:ana", "operator:ben", "operator:eva")
SAID_OF: Mapping[str, str] = {
    "well": "applied",
    "late": "applied",
    "slow": "applied",
    "mute": "applied",
    "bad": "failed",
    "restored": "restored",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a replay ended."""

    seed: int
    phase: str
    hosts: int
    failing: float
    most: int
    waves: int
    far: int
    """The most waves that one attempt of the release that may fail was admitted to."""
    back: int


@dataclass(slots=True, kw_only=True)
class Replay:
    """One rollout of a fleet, and what each of its hosts does."""

    seed: int
    dice: random.Random
    fleet: Fleet
    failing: float
    fate: dict[str, str]
    delay: dict[str, float]
    freezes: list[tuple[datetime, datetime]]
    release: Release = NEW
    first: dict[tuple[str, str, int], datetime] = field(default_factory=dict)
    """When each host took up a candidate of an attempt."""
    reach: dict[int, frozenset[str]] = field(default_factory=dict)
    """Who had the candidate when each wave was admitted."""
    approved: set[tuple[str, int, str]] = field(default_factory=set)
    said: dict[tuple[str, str, int], Said] = field(default_factory=dict)
    gone: dict[str, datetime] = field(default_factory=dict)
    """What hosts had said, and who had fallen silent, when it was decided last."""
    waves: int = 0
    far: int = 0

    def run(self) -> Outcome:
        """Go on until nothing moves; raise `AssertionError` where something happens that must not."""
        try:
            for _ in range(STEPS):
                if not self._step():
                    break
        except AssertionError as error:
            error.add_note(f"seed {self.seed}: run `python -m tests.simulator.replays {self.seed}`")
            raise
        back = sum(self.fleet.count(kind) for kind in BACK)
        return Outcome(
            seed=self.seed,
            phase=self.fleet.progress.phase,
            hosts=len(self.fleet.members),
            failing=self.failing,
            most=self.fleet.most,
            waves=self.waves,
            far=self.far,
            back=back,
        )

    def _step(self) -> bool:
        fleet = self.fleet
        self._events_of_hosts()
        freezes = [Stop(freeze=Freeze(name="f", start=start, until=until), reason="r", owner="o") for start, until in self.freezes]
        fleet.gates = Gates(stops=freezes)
        orders = self._orders()
        before, had, serial, known = fleet.progress, frozenset(fleet.has()), _serial(fleet), len(fleet.events)
        self.said, self.gone = dict(fleet.said), dict(fleet.gone)
        outcome = fleet.step(desired(self.release), *orders)
        self._must_hold(before, had, serial, fleet.events[known:])
        if outcome.due is None and fleet.progress == before and fleet.progress.phase in ("settled", "stopped"):
            return False
        soon = fleet.now + timedelta(seconds=self.dice.choice((1, 7, 30, 120)))
        fleet.now = max(fleet.now + timedelta(seconds=1), min(outcome.due or soon, soon))
        return True

    # What hosts and people do

    def _events_of_hosts(self) -> None:
        """Have hosts that were away return, and some that applied a release fail later."""
        fleet, dice = self.fleet, self.dice
        for name in sorted(fleet.away):
            if dice.random() < 0.01:
                fleet.away -= {name}
                fleet.returned[name] = fleet.now
        for key, said in list(fleet.said.items()):
            if self.fate[key[0]] == "mute" and said.result == "applied" and key[0] not in fleet.gone and dice.random() < 0.5:
                fleet.gone[key[0]] = fleet.now
            if self.fate[key[0]] == "late" and said.result == "applied" and dice.random() < 0.05:
                fleet.said[key] = Said(result="restored", at=fleet.now)

    def behave(self, host: str, release: Release, attempt: int) -> str:
        """Return what a host reports of a release by now."""
        began = self.first.setdefault((host, release.digest, attempt), self.fleet.now)
        if self.fleet.now - began < timedelta(seconds=self.delay[host]):
            return ""
        if release == NEWER:
            return "applied"
        return SAID_OF.get(self.fate[host], "gone" if self.fate[host] == "gone" else "")

    def _orders(self) -> list[Order]:
        dice, fleet = self.dice, self.fleet
        kinds: list[Kind] = []
        if dice.random() < 0.3:
            kinds.append("approve")
        if fleet.progress.phase == "paused" and dice.random() < 0.3:
            kinds.append("resume")
        if dice.random() < 0.01:
            kinds.append(dice.choice(("pause", "abort", "retry", "rollback")))
        if dice.random() < 0.01:
            self.release = NEWER
        return [
            Order(id=number, kind=kind, who=dice.choice(PEOPLE), reason="because", at="2026-11-23T12:00:00Z")
            for number, kind in enumerate(kinds)
        ]

    # What must hold

    def _must_hold(self, before: Progress, had: frozenset[str], serial: int, events: Collection[Event]) -> None:
        progress, fleet = self.fleet.progress, self.fleet
        has, kinds = frozenset(fleet.has()), [event.kind for event in events]
        self.approved |= {(event.wave, event.attempt, event.who) for event in events if event.kind == "approved"}
        self.approved |= {(one.wave, one.attempt, one.who) for one in progress.approvals}
        assert _serial(fleet) >= serial, "serials never fall"
        if "admitted" in kinds:
            self._admitted(before, has, fresh="candidate" in kinds)
        elif "done" not in kinds and progress.candidate is not None:
            assert has <= had, "nobody gets a candidate but by a wave"
        if "done" in kinds:
            self._advanced(before)
        if any(kind in BACK for kind in kinds) and "candidate" not in kinds:
            assert not has, "whatever is taken back is at once taken back from everybody"
            self.reach.clear()
        if (
            progress.phase == before.phase == "applying"
            and before.wave == progress.wave in self.reach
            and before.attempt == progress.attempt
        ):
            most = (WHOLE - fleet.strategy.health.threshold) * len(self.reach[progress.wave])
            assert len(self._bad(self.reach[progress.wave], before)) * WHOLE <= most, "what hurts goes on"
        if before.phase == progress.phase == "paused":
            assert has == had, "a pause moves nobody"

    def _admitted(self, before: Progress, has: frozenset[str], *, fresh: bool) -> None:
        fleet, progress = self.fleet, self.fleet.progress
        assert progress.candidate is not None
        assert not any(start <= fleet.now < until for start, until in self.freezes), "no wave starts in a freeze"
        if fresh:
            self.reach.clear()
        elif before.wave >= 0 and before.candidate == progress.candidate:
            self._advanced(before)
        step = fleet.strategy.steps[progress.wave]
        given = {who for wave, attempt, who in self.approved if (wave, attempt) == (step.name, progress.attempt)}
        assert len(given) >= step.approvers, "no wave starts without those who must approve it"
        self._bounded(has)
        self.reach[progress.wave] = has
        self.waves += 1
        if progress.candidate.release == NEW:
            self.far = max(self.far, len(self.reach))

    def _bounded(self, has: frozenset[str]) -> None:
        """Hold who was admitted to what the strategy says: all that labels select, and of the others not one too many."""
        fleet, progress = self.fleet, self.fleet.progress
        assert progress.candidate is not None
        steps = fleet.strategy.steps[: progress.wave + 1]
        by_label = {
            one.name for one in fleet.members if selected(one.labels, [step.selector for step in steps if step.selector is not None])
        }
        most = max((-(-(step.limit or 0) * len(fleet.members) // WHOLE) for step in steps), default=0)
        digest, attempt = progress.candidate.release.digest, progress.attempt
        inner = {one.name for one in fleet.members if slot(digest, attempt, one.name) < progress.bound - 1}
        assert by_label <= has
        assert progress.bound in (0, BOUND_ALL) or len(by_label | inner) < most, "a wave admits no more than its limit"
        assert progress.bound < BOUND_ALL or any(step.limit == WHOLE for step in steps)
        assert has <= by_label | {one.name for one in fleet.members if slot(digest, attempt, one.name) < progress.bound}

    def _advanced(self, before: Progress) -> None:
        """Hold what went on to what hosts of the wave before had shown."""
        if before.candidate is None or before.wave < 0:
            return
        health, everybody = self.fleet.strategy.health, self.reach[before.wave]
        earlier = [who for wave, who in self.reach.items() if wave < before.wave]
        joined = everybody - (earlier[-1] if earlier else frozenset())
        well, bad = self._well(joined, before), self._bad(joined, before)
        assert well, "no wave advances on silence"
        assert len(bad) * WHOLE <= (WHOLE - health.threshold) * (len(well) + len(bad)), "no wave advances with failures above the threshold"
        assert len(self._bad(everybody, before)) * WHOLE <= (WHOLE - health.threshold) * len(everybody)

    def _well(self, hosts: Collection[str], before: Progress) -> set[str]:
        """Return the hosts that said that they are well, and held that for the soak."""
        soak = timedelta(seconds=self.fleet.strategy.steps[before.wave].soak)
        said = {name: self._said(name, before) for name in hosts}
        held = {name: one.at + soak for name, one in said.items() if one and one.result == "applied"}
        return {name for name, until in held.items() if until <= min(self.fleet.now, self.gone.get(name, self.fleet.now))}

    def _bad(self, hosts: Collection[str], before: Progress) -> set[str]:
        """Return the hosts that said that they are not well, or nothing for as long as they may, or nothing any more."""
        fleet, late = self.fleet, timedelta(seconds=self.fleet.strategy.health.timeout)
        admitted, found = instant(before.admitted_at, what="wave"), set[str]()
        for name in hosts:
            said = self._said(name, before)
            there = name not in fleet.away and self.gone.get(name, admitted) + LOST_AFTER > admitted
            began = max(admitted, fleet.returned.get(name, admitted))
            if (said is not None and said.result != "applied") or (said is None and there and fleet.now - began > late):
                found.add(name)
        return found

    def _said(self, name: str, before: Progress) -> Said | None:
        assert before.candidate is not None
        return self.said.get((name, before.candidate.release.digest, before.attempt))


def _serial(fleet: Fleet) -> int:
    return fleet.document.serial if fleet.document else 0


def replay(seed: int) -> Outcome:
    """Replay one rollout by its dice; the same for the same seed.

    Raises:
        AssertionError: something happened that must not.
    """
    dice = random.Random(seed)
    names = [f"web-{number:03}" for number in range(dice.randint(1, 80))]
    members = [Member(name=name, labels={"canary": "true"} if dice.random() < 0.1 else {}) for name in names]
    failing, silent, slow, gone = dice.choice(FAILING), *(dice.choice((0.0, 0.0, 0.1)) for _ in range(3))
    kinds = ("bad", "restored", "late", "", "slow", "gone", "mute", "well")
    shares = (failing / 2, failing / 4, failing / 4, silent, slow, gone, gone, 1.0)
    timeout = dice.choice((120, 900))
    fate = {name: dice.choices(kinds, shares if failing < 1 else (1, 0, 0, 0, 0, 0, 0, 0))[0] for name in names}
    one = Replay(
        seed=seed,
        dice=dice,
        fleet=Fleet(strategy=strategy_of(_strategy(dice, timeout)), members=members, progress=Progress(stable=OLD)),
        failing=failing,
        fate=fate,
        delay={name: dice.uniform(timeout, timeout * 2) if fate[name] == "slow" else dice.uniform(0, 60) for name in names},
        freezes=[(start, start + timedelta(minutes=dice.randint(1, 60))) for start in _moments(dice)],
    )
    one.fleet.behave = one.behave
    one.fleet.away = frozenset(name for name in names if dice.random() < dice.choice((0.0, 0.1)))
    return one.run()


def _moments(dice: random.Random) -> list[datetime]:
    return [NOON + timedelta(minutes=dice.randint(0, 120)) for _ in range(dice.choice((0, 0, 1, 2)))]


def _strategy(dice: random.Random, timeout: int) -> dict[str, object]:
    limits = sorted(dice.randint(1, 100) for _ in range(dice.randint(1, 4)))
    waves: list[dict[str, object]] = [{"name": f"w{number}", "limit": f"{limit}%"} for number, limit in enumerate(limits)]
    if dice.random() < 0.3:
        waves.insert(0, {"name": "canary", "matchLabels": {"canary": "true"}})
    for wave in waves:
        wave["soak"] = dice.choice((0, 30, 600))
        if dice.random() < 0.15:
            wave |= {"approval": "required", "approvers": dice.choice((1, 2))}
    health = {
        "successThreshold": f"{dice.choice((50, 80, 95, 100))}%",
        "quorum": f"{dice.choice((50, 80, 100))}%",
        "reportTimeout": timeout,
    }
    if dice.random() < 0.2:
        health["onFailure"] = "pause"
    return {"waves": waves, "health": health}


if __name__ == "__main__":
    for given in sys.argv[1:]:
        sys.stdout.write(f"{replay(int(given))}\n")
