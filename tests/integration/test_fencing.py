"""Two copies that publish into one store under one lease: one that is stopped, and wakes when the other leads, publishes nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.protocol.rollout import Release
from reconciler.control.registry.registry import Registry
from reconciler.publication import layout
from reconciler.publication.lease import LostError
from tests import postgresql_server
from tests.e2e.installation import until
from tests.polling import Poller, polling
from tests.publication_cases import Zone, make_zone
from tests.registry_cases import empty


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
class Pair:
    """Two copies, their lease, and a host that follows them."""

    zone: Zone
    one: Copy
    two: Copy
    host: Poller

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
    one, two = (Copy(name=name, directory=directory, url=url) for name in ("one", "two"))
    with polling(zone.store) as host:
        try:
            yield Pair(zone=zone, one=one, two=two, host=host)
        finally:
            one.kill()
            two.kill()


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
