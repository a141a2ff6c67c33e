"""A wave's step with 100,000 registered agents beside one with 100, in the same run: deciding by what the registry knows, and publishing.

Real controls, signed members, a registry on SQLite, and the store on the disk; what hosts would report is written as the intake writes it.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.protocol.membership import Member
from agent.protocol.rollout import RolloutDocument, slot
from benchmarks.measuring import Sample
from benchmarks.report import Report
from reconciler.control.conduct.conductor import Conductor
from reconciler.control.conduct.looking import RESTS_AT_MOST
from reconciler.control.conduct.task import Task
from reconciler.control.numbering import floors_of
from reconciler.control.publish import publish_fleet
from reconciler.control.records import Floors
from reconciler.control.registry import agents, batches, inventory
from reconciler.control.registry.heartbeats import Heartbeat, keep
from reconciler.control.registry.inventory import Subject
from reconciler.control.registry.registry import Registry
from reconciler.publication.controls import Controls, Fleet
from reconciler.publication.published import read_published
from reconciler.publication.releases import read_newest
from tests.publication_cases import Zone, make_zone
from tests.registry_cases import receipt, received

FEW, MANY = 100, 100_000
NEWS = 10
"""Hosts that report between two looks."""
LOOKS, ROUNDS, SOAK = 20, 1, 60
GOAL, RATIO_GOAL = 5.0, 2.0
ROLLOUT: dict[str, Any] = {
    "waves": [{"name": name, "limit": limit, "soak": SOAK} for name, limit in (("first", "20%"), ("half", "50%"), ("all", "100%"))],
    "health": {"quorum": "10%", "successThreshold": "90%"},
}
Figures = dict[str, list[float]]


@dataclass(slots=True, kw_only=True)
class Installation:
    """One fleet of so many hosts, which all wait."""

    zone: Zone
    registry: Registry
    names: Sequence[str]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    document: RolloutDocument | None = None
    sequence: int = 1
    conductor: Conductor = field(init=False)

    def __post_init__(self) -> None:
        """Enrol everybody."""
        self.conductor = Conductor(self.registry, self.zone.store)
        subjects = {name: Subject(kind="agent", fleets=["web"]) for name in self.names}
        with self.registry.begin() as connection:
            inventory.replace(connection, "shop", subjects, sequence=1)
            for name in self.names:
                agents.enrol(connection, "shop", name, by="token:1", now=self.now)
        self.beat()

    def beat(self) -> None:
        """Have all be heard of."""
        self.sequence += 1
        beats = [
            Heartbeat(tenant="shop", agent=name, incarnation=1, sequence=self.sequence, version="1.0", last_seen=self.now)
            for name in self.names
        ]
        with self.registry.begin() as connection:
            keep(connection, beats)

    def approve(self, content: str) -> None:
        """Approve a release for all."""
        self.zone.approve(content, agents={name: Member(group="all") for name in self.names}, at=self.now)

    def say(self, names: Sequence[str]) -> None:
        """Have hosts report success of what is on its way."""
        assert self.document is not None  # noqa: S101 - it was published
        assert self.document.candidate is not None  # noqa: S101 - one is on its way
        self.sequence += 1
        digest, number = self.document.candidate.digest, self.document.attempt
        found = [
            received(
                name, sequence=self.sequence, at=self.now, receipts=[receipt(name, digest=digest, attempt=number, serial=self.sequence)]
            )
            for name in names
        ]
        with self.registry.begin() as connection:
            batches.write_batches(connection, found)

    def decide(self) -> tuple[float, bool]:
        """Let the conductor look once; return the milliseconds, and whether there is another document."""
        releases = read_newest(self.zone.store, self.zone.trust, "web")
        assert releases is not None  # noqa: S101 - one was approved
        task = Task(
            tenant="shop",
            fleet="web",
            controls=Controls(tenant="shop", fleets={"web": Fleet(freshness=86_400, rollout=ROLLOUT)}),
            releases=releases,
            standing=self.document,
            epoch=1,
            serial_floor=self.document.serial if self.document else 0,
            now=self.now,
        )
        began = time.perf_counter()
        document = self.conductor.decide(task).document
        took = (time.perf_counter() - began) * 1000
        moved, self.document = document is not self.document, document
        return took, moved

    def publish(self) -> tuple[float, float, int]:
        """Publish what was decided; return milliseconds on the clock and of the processor, and how many rollout documents that wrote."""
        work = self.zone.work(at=self.now)
        releases, standing = read_newest(self.zone.store, work.trust, "web"), read_published(self.zone.store, "shop", "web")
        assert releases is not None  # noqa: S101 - one was approved
        assert self.document is not None  # noqa: S101 - it was decided
        before = self._documents()
        floors, stored = floors_of(standing, Floors()), standing.stored if standing else None
        began, used = time.perf_counter(), time.process_time()
        publish_fleet(work, releases=releases, document=self.document, standing=standing, floors=floors, stored=stored)
        taken = (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000
        return (*taken, self._documents() - before)

    def _documents(self) -> int:
        return sum(1 for key in self.zone.store.list("public/shop/web/targets/") if "rollout" in key)


def measure(*, quick: bool) -> Report:
    """Measure with 100,000 agents beside 100, or with 300 beside 20 where it has to be quick."""
    sizes = (20, 300) if quick else (FEW, MANY)
    report = Report(name="waves", title=f"a wave's step with {sizes[1]} registered agents beside one with {sizes[0]}", quick=quick)
    found = {size: _measured(size, 1 if quick else ROUNDS) for size in sizes}
    for size, figures in found.items():
        for what, values in figures.items():
            report.add(f"{size} agents: {what}", Sample(tuple(values)), "documents" if "documents" in what else "ms")
    few, many = (found[size] for size in sizes)
    for what in few:
        if "documents" not in what:
            report.one(f"ratio of {what}", Sample(tuple(many[what])).median / Sample(tuple(few[what])).median, f"of that with {sizes[0]}")
    processor, documents = Sample(tuple(many["publishing a wave, of the processor"])).least, max(many["rollout documents of a wave"])
    quiet = Sample(tuple(many["a look with news"])).median / Sample(tuple(few["a look with news"])).median
    report.goal("publishing a wave, of the processor", f"≤ {GOAL:g} ms", f"{processor:.1f} ms at best", reached=processor <= GOAL)
    report.goal("rollout documents of a wave", "1", f"{documents:g}", reached=documents == 1)
    report.goal(f"a look with news, beside one with {sizes[0]} agents", f"≤ {RATIO_GOAL:g}", f"{quiet:.1f}", reached=quiet <= RATIO_GOAL)
    report.limits.append(
        "what moves a rollout is read anew, all of it, in the transaction that decides; publishing reads back what it wrote"
    )
    return report


def _measured(size: int, rounds: int) -> Figures:
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory).resolve()
        registry = Registry.open(f"sqlite:///{place}/registry.db")
        try:
            registry.migrate()
            one = Installation(zone=make_zone(place), registry=registry, names=[f"web-{number:06}" for number in range(size)])
            one.approve("first")
            one.zone.write_controls(at=one.now)
            _release(one, {})
            for number in range(rounds):
                one.approve(f"content {number}")
                _release(one, figures)
        finally:
            registry.close()
    return figures


def _release(one: Installation, figures: Figures) -> None:
    """Have one release go out, wave by wave."""
    admitted = False
    while True:
        took, moved = one.decide()
        if not moved:
            break
        figures.setdefault("a step that moves, all read anew", []).append(took)
        clock, used, documents = one.publish()
        if admitted:  # the first one copies the release besides
            figures.setdefault("publishing a wave", []).append(clock)
            figures.setdefault("publishing a wave, of the processor", []).append(used)
            figures.setdefault("rollout documents of a wave", []).append(documents)
        admitted = True
        if one.document is None or one.document.candidate is None:
            break
        _looks(one, figures)
        _prove(one)


def _looks(one: Installation, figures: Figures) -> None:
    """Look at a wave while a few hosts at a time report, and while none does."""
    taking = _taking(one)
    for number in range(LOOKS):
        some = taking[number :: max(1, len(taking) // 2)][:1] if len(taking) < LOOKS * NEWS else taking[number * NEWS : (number + 1) * NEWS]
        one.say(some if number < LOOKS // 2 else [])
        took, _ = one.decide()
        figures.setdefault("a look with news" if number < LOOKS // 2 else "a look without news", []).append(took)


def _prove(one: Installation) -> None:
    one.say(_taking(one))
    one.now += timedelta(seconds=SOAK) + RESTS_AT_MOST
    one.beat()


def _taking(one: Installation) -> list[str]:
    assert one.document is not None  # noqa: S101 - it was decided
    assert one.document.candidate is not None  # noqa: S101 - one is on its way
    return [name for name in one.names if slot(one.document.candidate.digest, one.document.attempt, name) < one.document.bound]
