"""Two copies that publish into one store under one lease: whatever stops, wakes or kills them, nobody is given two orders."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError, RepositoryError

from agent.protocol import codec, rollout
from agent.protocol.rollout import Release, RolloutDocument
from reconciler.control.registry.registry import Registry
from reconciler.publication import layout
from reconciler.publication.client import make_client
from reconciler.publication.lease import LostError
from tests import postgresql_server
from tests.e2e.installation import until
from tests.publication_cases import Zone, make_zone, now
from tests.registry_cases import empty

FOR = float(os.environ.get("ORDAIN_TEST_SECONDS", "600"))
"""How long the long test goes on."""


@dataclass(slots=True, kw_only=True)
class Copy:
    """One process that publishes while it leads."""

    name: str
    directory: Path
    url: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it said since its first start."""
        return self.directory / f"{self.name}.log"

    def start(self, fault: str = "") -> None:
        """Start it; with a fault it stops at a place."""
        command = [sys.executable, "-m", "tests.simulator.leader", str(self.directory), self.url, self.name]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, env={**os.environ, "ORDAIN_FAULT": fault}, cwd=Path(__file__).parents[2])

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def stopped(self) -> bool:
        """Whether it stands still."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@dataclass(slots=True, kw_only=True)
class Host:
    """An agent that polls the store as fast as it can, verifies all of it, and remembers each order that it saw."""

    zone: Zone
    seen: dict[int, RolloutDocument] = field(default_factory=dict)
    last: RolloutDocument | None = None
    polls: int = 0
    broken: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Poll until it is ended."""
        with tempfile.TemporaryDirectory() as directory:
            while not self.ended.wait(0.02):
                try:
                    self._poll(Path(directory))
                except (RepositoryError, DownloadError) as error:
                    self.broken.append(f"{type(error).__name__}: {error}")

    def _poll(self, directory: Path) -> None:
        root = self.zone.trust.roots[0]
        client = make_client(directory, self.zone.store.get, fleet="shop/web", root=root, now=now(), standing={})
        client.refresh()
        document = rollout.decode(client.download(rollout.target("web")), fleet="shop/web")
        self.polls += 1
        before = self.seen.setdefault(document.serial, document)
        if codec.canonical(before) != codec.canonical(document):
            self.broken.append(f"serial {document.serial} said two things")
        if self.last is not None and (document.serial, document.epoch) < (self.last.serial, self.last.epoch):
            self.broken.append(f"from {self.last.serial} of epoch {self.last.epoch} back to {document.serial} of {document.epoch}")
        if self.last is not None and document.epoch < self.last.epoch:
            self.broken.append(f"epoch {document.epoch} after {self.last.epoch}")
        self.last = document


@dataclass(slots=True, kw_only=True)
class Pair:
    """Two copies, their lease, and a host that follows them."""

    zone: Zone
    one: Copy
    two: Copy
    host: Host

    @property
    def epoch(self) -> int:
        """Of the order that the host saw last."""
        assert self.host.last is not None
        return self.host.last.epoch

    def reaches(self, content: str) -> None:
        """Approve something, and wait until the host was told."""
        self.holds(content, self.zone.approve(content).release)

    def holds(self, what: str, release: Release) -> None:
        """Wait until the host was told of a release."""
        until(f"{what} is published", lambda: self.host.last is not None and self.host.last.stable == release, log=self.two.log)


@pytest.fixture
def pair(tmp_path: Path, postgresql: postgresql_server.Server) -> Iterator[Pair]:
    with empty(tmp_path, postgresql) as registry, _pair(tmp_path, registry) as made:
        yield made


@contextmanager
def _pair(directory: Path, registry: Registry) -> Iterator[Pair]:
    zone = make_zone(directory)
    zone.write_controls()
    zone.approve("zero")
    zone.publish(epoch=0)
    url = registry.shown
    made = Pair(
        zone=zone,
        one=Copy(name="one", directory=directory, url=url),
        two=Copy(name="two", directory=directory, url=url),
        host=Host(zone=zone),
    )
    thread = threading.Thread(target=made.host.run)
    thread.start()
    try:
        yield made
    finally:
        made.host.ended.set()
        thread.join()
        made.one.kill()
        made.two.kill()


def test_a_publisher_that_leads_no_longer_moves_nothing(tmp_path: Path) -> None:
    zone = make_zone(tmp_path)
    zone.write_controls()
    zone.approve("one")
    zone.publish()
    key = layout.metadata("shop", "web", "timestamp.json")
    before = zone.store.get(key)

    def lost() -> None:
        message = "somebody else leads"
        raise LostError(message)

    zone.approve("two")
    with pytest.raises(LostError):
        zone.publish(leads=lost)
    assert zone.store.get(key) == before


@pytest.mark.needs("postgresql")
@pytest.mark.xdist_group("postgresql")
def test_a_leader_that_was_stopped_and_wakes_when_another_leads_publishes_nothing(pair: Pair) -> None:
    pair.one.start("stopped:publish:before-timestamp@2")
    pair.reaches("one")
    wanted = pair.zone.approve("two").release
    until("it stands still, about to publish", lambda: pair.one.stopped, log=pair.one.log)
    first = pair.epoch
    pair.two.start()
    pair.holds("two", wanted)
    second = pair.epoch
    pair.one.send(signal.SIGCONT)
    until("it learns of it", lambda: b"this one stops writing" in pair.one.log.read_bytes(), log=pair.one.log)
    pair.two.kill()
    pair.reaches("three")
    assert first < second < pair.epoch
    assert pair.host.broken == []


@pytest.mark.slow
@pytest.mark.needs("postgresql")
@pytest.mark.timeout(FOR + 300)
def test_nobody_sees_two_orders_whatever_stops_wakes_and_kills_those_who_publish(pair: Pair) -> None:
    seed = random.randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    dice, end, number, kills, stops = random.Random(seed), time.monotonic() + FOR, 0, 0, 0
    for copy in (pair.one, pair.two):
        copy.start()
    while time.monotonic() < end:
        number += 1
        wanted = pair.zone.approve(f"content {number}").release
        copy = dice.choice((pair.one, pair.two))
        if dice.random() < 0.3:
            kills += 1
            copy.kill()
            time.sleep(dice.uniform(0, 3))
            copy.start()
        else:
            stops += 1
            copy.send(signal.SIGSTOP)
            time.sleep(dice.uniform(0, 4))
            copy.send(signal.SIGCONT)
        pair.holds(f"content {number}", wanted)
    told = f"{pair.host.polls} polls, {len(pair.host.seen)} orders, {stops} stops, {kills} kills"
    sys.stdout.write(told + "\n")
    assert pair.host.broken == [], told
