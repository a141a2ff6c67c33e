"""A fleet that is conducted by what a registry knows: hosts that report, a store with approved releases, and a clock."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent.protocol.membership import Member
from agent.protocol.report import FleetReport, Usage
from agent.protocol.rollout import Release, RolloutDocument
from reconciler.control import records
from reconciler.control.conduct.conductor import Conductor, Decided
from reconciler.control.conduct.gates import Gatekeeper
from reconciler.control.conduct.task import Task
from reconciler.control.numbering import floors_of
from reconciler.control.publish import publish_fleet
from reconciler.control.records import Floors
from reconciler.control.registry import agents, batches, events, inventory, rollouts
from reconciler.control.registry.inventory import Subject
from reconciler.control.registry.registry import Registry
from reconciler.control.rollout.orders import Order
from reconciler.publication.controls import Controls, Fleet
from reconciler.publication.published import read_published
from reconciler.publication.releases import Releases, read_newest
from tests.publication_cases import Zone, make_zone, now
from tests.registry_cases import receipt, received

ROLLOUT: dict[str, Any] = {
    "waves": [{"name": "canary", "matchLabels": {"canary": "true"}, "soak": 60}, {"name": "rest", "limit": "100%", "soak": 60}]
}
HOSTS = {f"web-{number}": {"canary": "true"} if number == 1 else {} for number in range(1, 5)}


@dataclass(kw_only=True)
class Site:
    """Hosts that report, a store with approved releases, and a clock."""

    zone: Zone
    registry: Registry
    now: datetime
    document: RolloutDocument | None = None
    epoch: int = 1
    sequence: dict[str, int] = field(default_factory=dict)
    rollout: dict[str, Any] = field(default_factory=lambda: ROLLOUT)
    freezes: list[dict[str, Any]] = field(default_factory=list)
    objectives: dict[str, Any] = field(default_factory=dict)
    coming: int = 0
    """The decision of which another release is announced and not there yet, 0 for none."""
    gatekeeper: Gatekeeper = field(default_factory=Gatekeeper)
    first: str = ""
    """The digest of the first release."""
    conductor: Conductor = field(init=False)
    """The process that leads; what it keeps between steps makes no difference."""

    def __post_init__(self) -> None:
        """Start one."""
        self.conductor = Conductor(self.registry, self.zone.store, gatekeeper=self.gatekeeper)

    def approve(self, content: str, *, decision: int = 1, fleet: str = "web") -> str:
        """Approve a release for all hosts; return its digest."""
        members = {name: Member(group="all", labels=labels) for name, labels in HOSTS.items()}
        self.zone.approve(content, agents=members, at=self.now, decision=decision, fleet=fleet)
        releases = read_newest(self.zone.store, self.zone.trust, fleet)
        assert releases is not None
        assert releases.desired is not None
        return releases.desired.digest

    def enrol(self, *names: str) -> None:
        """Enrol hosts, which are heard of at once."""
        subjects = {name: Subject(kind="agent", labels=labels, fleets=["web"]) for name, labels in HOSTS.items()}
        with self.registry.begin() as connection:
            inventory.replace(connection, "shop", subjects, sequence=1)
            for name in names:
                agents.enrol(connection, "shop", name, by="token:1", now=self.now)
            agents.set_presence(connection, [("shop", name, "online") for name in names], now=self.now)
        self.beat(*names)

    def beat(self, *names: str) -> None:
        """Have hosts be heard of."""
        for name in names:
            self.sequence[name] = self.sequence.get(name, 0) + 1
        with self.registry.begin() as connection:
            batches.write_batches(connection, [received(name, sequence=self.sequence[name], at=self.now) for name in names])

    def say(self, name: str, result: str, *, usage: Usage | None = None, mode: str | None = None) -> None:
        """Have a host report what came of the release that the document has for it, in a mode, and what that uses."""
        assert self.document is not None
        release = self.document.candidate or self.document.stable
        assert release is not None
        self.sequence[name] = self.sequence.get(name, 0) + 1
        said = receipt(name, digest=release.digest, members=release.members, attempt=self.document.attempt, result=result, mode=mode)
        about = {"desired": release.digest, "digest": release.digest, "attempt": self.document.attempt}
        status = FleetReport(fleet="web", result=result, usage=usage, **about)  # type: ignore[arg-type]
        batch = received(name, sequence=self.sequence[name], at=self.now, receipts=[said], statuses=[status])
        with self.registry.begin() as connection:
            batches.write_batches(connection, [batch])

    def order(self, **stated: Any) -> None:
        """Order something."""
        order = Order(id=0, who="operator:ana", reason="because", at="2026-11-23T12:00:00Z", **stated)
        with self.registry.begin() as connection:
            rollouts.order(connection, "shop", "web", order, now=self.now)

    def step(self, after: timedelta = timedelta(), conductor: Conductor | None = None) -> Decided:
        """Let time pass, and the conductor decide; what it decided is published."""
        self.now += after
        releases = read_newest(self.zone.store, self.zone.trust, "web")
        assert releases is not None
        fleet = Fleet(freshness=86_400, rollout=self.rollout, objectives=self.objectives, coming=bool(self.coming))
        fleets = {"web": fleet, "staging": Fleet(freshness=86_400)}
        task = Task(
            tenant="shop",
            fleet="web",
            controls=Controls(tenant="shop", head="c" * 40, decision=self.coming, fleets=fleets, freezes=self.freezes),
            releases=releases,
            standing=self.document,
            epoch=self.epoch,
            serial_floor=self.document.serial if self.document else 0,
            now=self.now,
            others=lambda other: read_newest(self.zone.store, self.zone.trust, other),
        )
        decided = (conductor or self.conductor).decide(task)
        self.document = decided.document
        return decided

    def kept(self) -> rollouts.Kept:
        """Return how it stands in the registry."""
        with self.registry.read() as connection:
            found = rollouts.get(connection, "shop", "web")
        assert found is not None
        return found

    def told(self) -> list[str]:
        """Return the kinds of events, oldest first."""
        with self.registry.read() as connection:
            found = events.listed(connection, events.Filter(tenant="shop", fleet="web"), newest_first=False)
        return [one.kind.removeprefix("rollout-") for one in found.items]

    def taking(self) -> tuple[str | None, str | None, int]:
        """Return the digests of the stable release and of the candidate, and the bound."""
        assert self.document is not None
        stable, candidate = self.document.stable, self.document.candidate
        return stable.digest if stable else None, candidate.digest if candidate else None, self.document.bound


def make_site(directory: Path, registry: Registry, **more: Any) -> Site:
    """Return a site with one release, which is stable."""
    made = Site(zone=make_zone(directory), registry=registry, now=datetime.fromisoformat("2026-11-23T12:00:00+00:00"), **more)
    made.zone.write_controls()
    made.first = made.approve("one")
    made.step()
    return made


@dataclass(kw_only=True)
class Told(Site):
    """A site whose documents are published, and recorded as `serve` records them."""

    recording: bool = True

    def step(self, after: timedelta = timedelta(), conductor: Conductor | None = None) -> Decided:
        """Decide, publish and record; without `recording`, as if killed before that."""
        decided = super().step(after, conductor)
        releases, work = self.releases, self.zone.work(at=self.now)
        standing = read_published(self.zone.store, "shop", "web")
        done = publish_fleet(
            work,
            releases=releases,
            document=decided.document,
            standing=standing,
            floors=floors_of(standing, Floors()),
            stored=standing.stored if standing else None,
        )
        if self.recording:
            records.write_status(
                self.zone.store, records.published("shop", "web", releases, decided.document, done.floors, rollout=decided.rollout)
            )
        return decided

    @property
    def releases(self) -> Releases:
        """What is approved."""
        found = read_newest(self.zone.store, self.zone.trust, "web")
        assert found is not None
        return found

    def admitted(self, result: str) -> None:
        """Have all hosts that the candidate reached report, and their soak pass."""
        if self.document is not None and self.document.candidate is not None:
            for name in list(HOSTS)[: 4 if self.document.bound else 1]:
                self.say(name, result)
        self.now += timedelta(seconds=61)
        self.beat(*HOSTS)

    def done(self, content: str) -> Release:
        """Have a release approved and proved everywhere; return it."""
        self.approve(content)
        self.step()
        for _ in range(3):
            self.admitted("applied")
            self.step()
        stable = self.kept().progress.stable
        assert stable == self.releases.desired
        assert stable is not None
        return stable


def make_told(directory: Path, registry: Registry) -> Told:
    """Return a site whose hosts are enrolled and have the release `0`."""
    made = Told(zone=make_zone(directory), registry=registry, now=now())
    made.zone.write_controls()
    made.first = made.approve("0")
    made.step()
    made.enrol(*HOSTS)
    return made
