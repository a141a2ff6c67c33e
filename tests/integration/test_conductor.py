"""A rollout by what the registry knows, on either database: receipts move it, orders and freezes hold it, nothing is forgotten."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.protocol.membership import Member
from agent.protocol.rollout import RolloutDocument
from reconciler.control.conduct.conductor import Conductor, Decided
from reconciler.control.conduct.task import Task
from reconciler.control.registry import agents, batches, events, heartbeats, inventory, rollouts, stops
from reconciler.control.registry.inventory import Subject
from reconciler.control.registry.registry import Registry
from reconciler.control.rollout.orders import Order
from reconciler.publication.controls import Controls, Fleet
from reconciler.publication.lease import LostError
from reconciler.publication.releases import read_newest
from tests.publication_cases import Zone, make_zone
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
    conductor: Conductor = field(init=False)
    """The process that leads; what it keeps between steps makes no difference."""

    def __post_init__(self) -> None:
        """Start one."""
        self.conductor = Conductor(self.registry, self.zone.store)

    def approve(self, content: str) -> str:
        """Approve a release for all hosts; return its digest."""
        members = {name: Member(group="all", labels=labels) for name, labels in HOSTS.items()}
        self.zone.approve(content, agents=members, at=self.now)
        releases = read_newest(self.zone.store, self.zone.trust, "web")
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

    def say(self, name: str, result: str) -> None:
        """Have a host report what came of the release that the document has for it."""
        assert self.document is not None
        release = self.document.candidate or self.document.stable
        assert release is not None
        self.sequence[name] = self.sequence.get(name, 0) + 1
        said = receipt(name, digest=release.digest, members=release.members, attempt=self.document.attempt, result=result)
        batch = received(name, sequence=self.sequence[name], at=self.now, receipts=[said])
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
        fleet = Fleet(freshness=86_400, rollout=self.rollout)
        task = Task(
            tenant="shop",
            fleet="web",
            controls=Controls(tenant="shop", fleets={"web": fleet}, freezes=self.freezes),
            releases=releases,
            standing=self.document,
            epoch=self.epoch,
            serial_floor=self.document.serial if self.document else 0,
            now=self.now,
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


@pytest.fixture
def site(tmp_path: Path, registry: Registry) -> Site:
    made = Site(zone=make_zone(tmp_path), registry=registry, now=datetime.fromisoformat("2026-11-23T12:00:00+00:00"))
    made.zone.write_controls()
    made.first = made.approve("one")  # type: ignore[attr-defined]
    made.step()
    return made


def taking(site: Site) -> tuple[str | None, str | None, int]:
    assert site.document is not None
    stable, candidate = site.document.stable, site.document.candidate
    return stable.digest if stable else None, candidate.digest if candidate else None, site.document.bound


def test_where_no_host_is_enrolled_the_newest_release_is_stable_at_once(site: Site) -> None:
    second = site.approve("two")
    site.step()
    assert taking(site) == (second, None, 0)
    assert site.told() == ["stable", "stable"]


def test_a_release_goes_to_the_canary_and_then_to_all_by_their_receipts(site: Site) -> None:
    first, names = taking(site)[0], list(HOSTS)
    site.enrol(*names)
    second = site.approve("two")
    site.step()
    assert (taking(site), site.document and site.document.selectors) == ((first, second, 0), [{"canary": "true"}])
    site.say("web-1", "applied")
    site.step(timedelta(seconds=30))
    assert site.kept().progress.wave == 0
    site.now += timedelta(seconds=31)
    site.beat(*names)
    site.step()
    assert (site.kept().progress.wave, taking(site)) == (1, (first, second, 10_000))
    for name in names[1:]:
        site.say(name, "applied")
    site.now += timedelta(seconds=61)
    site.beat(*names)
    site.step()
    assert taking(site) == (second, None, 0)
    assert site.told() == ["stable", "candidate", "admitted", "proved", "admitted", "proved", "done"]


def test_a_canary_that_fails_takes_it_back_for_everybody_and_the_reason_is_kept(site: Site) -> None:
    first = taking(site)[0]
    site.enrol(*HOSTS)
    second = site.approve("two")
    site.step()
    site.say("web-1", "failed")
    site.step(timedelta(seconds=1))
    assert taking(site) == (first, None, 0)
    progress = site.kept().progress
    assert (progress.phase, progress.refused and progress.refused.digest) == ("stopped", second)
    assert second[:12] in progress.why
    site.step(timedelta(hours=1))
    assert taking(site) == (first, None, 0)
    third = site.approve("three")
    site.step()
    assert taking(site)[1] == third


def test_a_success_for_another_digest_or_attempt_counts_for_nothing(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    assert site.document is not None
    for wrong in ({"digest": "f" * 64}, {"attempt": 2}):
        said = receipt("web-1", **{"digest": taking(site)[1], "attempt": 1, **wrong})
        site.sequence["web-1"] += 1
        with site.registry.begin() as connection:
            batches.write_batches(connection, [received("web-1", sequence=site.sequence["web-1"], at=site.now, receipts=[said])])
    site.now += timedelta(seconds=120)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 0


def test_an_enrolled_host_that_falls_silent_after_it_was_admitted_takes_it_back(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    site.step(timedelta(minutes=16))
    assert site.kept().progress.phase == "stopped"


def test_hosts_that_never_enrolled_are_away(site: Site) -> None:
    site.enrol("web-2")
    site.approve("two")
    site.step()
    site.step(timedelta(hours=2))
    assert (site.kept().progress.phase, site.kept().progress.wave) == ("applying", 0)
    assert "none of the 1 hosts" in site.kept().holds[0]["why"]


def test_orders_are_followed_once(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    site.order(kind="pause")
    conductor = Conductor(site.registry, site.zone.store)
    assert conductor.ordered("shop") == {"web"}
    site.step(conductor=conductor)
    assert (site.kept().progress.phase, conductor.ordered("shop")) == ("paused", set())
    site.order(kind="resume")
    site.step()
    site.step()
    assert site.told().count("resumed") == 1


def test_freezes_of_manifests_and_by_hand_hold_it_and_say_why(site: Site) -> None:
    site.enrol(*HOSTS)
    site.freezes = [
        {
            "name": "peak",
            "fleets": ["web"],
            "reason": "peak season",
            "owner": "ana@example.com",
            "from": "2026-11-23T00:00:00Z",
            "until": "2026-11-24T00:00:00Z",
        }
    ]
    with site.registry.begin() as connection:
        stops.add(connection, tenant="", fleets=[], reason="outage", who="ben", begins_at=site.now, until=site.now + timedelta(hours=1))
    site.approve("two")
    site.step()
    assert [hold["kind"] for hold in site.kept().holds] == ["freeze", "freeze"]
    assert "peak season" in site.kept().progress.why
    assert "outage" in site.kept().progress.why
    site.freezes = []
    site.beat(*HOSTS)
    site.step(timedelta(hours=1, seconds=1))
    assert site.kept().progress.wave == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_a_process_keeps_between_looks_makes_no_difference(site: Site, seed: int) -> None:
    site.rollout = {"waves": [{"name": "half", "limit": "50%", "soak": 30}, {"name": "all", "limit": "100%", "soak": 30}]}
    site.enrol(*HOSTS)
    site.approve("two")
    dice = random.Random(seed)
    site.step()
    for _ in range(25):
        host = dice.choice(list(HOSTS))
        if site.document is not None and site.document.candidate is not None and dice.random() < 0.5:
            site.say(host, dice.choice(["applied"] * 8 + ["failed"]))
        elif dice.random() < 0.8:
            site.beat(host)
            site.now += timedelta(seconds=dice.choice([1, 20]))
        kept = site.step().document
        told = site.told()
        assert site.step(conductor=Conductor(site.registry, site.zone.store)).document == kept
        assert site.told() == told


def test_what_was_decided_and_not_published_is_decided_alike_again(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    before = site.document
    first = site.step().document
    site.document = before  # the process died before it published
    again = site.step().document
    assert msgspec.structs.replace(again, not_before="") == msgspec.structs.replace(first, not_before="")
    assert site.told() == ["stable", "candidate", "admitted"]


def test_a_registry_that_was_lost_goes_on_from_what_is_published(site: Site) -> None:
    site.enrol(*HOSTS)
    second = site.approve("two")
    site.step()
    with site.registry.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rollouts")
    site.step()
    progress = site.kept().progress
    assert (progress.candidate and progress.candidate.release.digest, progress.attempt) == (second, 1)
    assert taking(site)[1] == second


def test_a_registry_that_was_restored_yields_to_what_is_published(site: Site) -> None:
    site.enrol(*HOSTS)
    with site.registry.read() as connection:
        old = connection.exec_driver_sql("SELECT progress FROM rollouts").scalar_one()
    site.approve("two")
    site.step()
    site.say("web-1", "failed")
    site.step(timedelta(seconds=1))
    stable = taking(site)[0]
    with site.registry.begin() as connection:
        connection.exec_driver_sql(f"UPDATE rollouts SET progress = '{old}'")
    site.step(timedelta(seconds=1))
    assert taking(site)[0] == stable


def test_a_leader_that_was_replaced_decides_nothing(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.epoch = 5
    site.step()
    site.epoch = 4
    site.order(kind="pause")
    with pytest.raises(LostError):
        site.step()
    assert site.kept().progress.phase == "applying"


def test_hosts_of_pools_are_counted_once_they_enrolled(site: Site) -> None:
    with site.registry.begin() as connection:
        inventory.replace(connection, "shop", {"runners": Subject(kind="pool", fleets=["web"])}, sequence=2)
        agents.enrol(connection, "shop", "runners/a1", by="token:1", now=site.now)
        agents.set_presence(connection, [("shop", "runners/a1", "online")], now=site.now)
    site.beat("runners/a1")
    site.rollout = {"waves": [{"name": "all", "limit": "100%", "soak": 60}]}
    second = site.approve("two")
    site.step()
    site.say("runners/a1", "applied")
    site.now += timedelta(seconds=61)
    site.beat("runners/a1")
    site.step()
    assert taking(site)[0] == second
    with site.registry.read() as connection:
        assert heartbeats.get(connection, "shop", "runners/a1") is not None
