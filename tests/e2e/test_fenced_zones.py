"""Two `reconcile` and two `serve` on one PostgreSQL and one store: whatever stops, wakes and kills them, no host is given two orders."""

import contextlib
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from reconciler.cli import cli
from reconciler.control.authority.ceremony import development_authority
from reconciler.control.registry import schema
from reconciler.control.registry.registry import Registry
from reconciler.publication import layout, releases
from reconciler.publication.trust import read_trust
from tests import postgresql_server
from tests.acceptance_cases import component, repository
from tests.balancer import Balancer, balancing
from tests.e2e.enrolled import Site
from tests.e2e.installation import until
from tests.e2e.rollout_steps import MOTD, fleet_of, strategy
from tests.e2e.two_zones import TENANT, Copy, TwoZones
from tests.polling import Poller, polling

FOR = float(os.environ.get("ORDAIN_TEST_SECONDS", "600"))
"""How long the long test goes on."""
PATIENCE = 180.0
"""Seconds until all hosts have what was committed: agents that speak to a copy that stands still give up after a while."""
pytestmark = [pytest.mark.slow, pytest.mark.needs("opa", "git", "postgresql"), pytest.mark.timeout(FOR + 600)]
HOSTS = [f"web-{number:02}" for number in range(4)]
BACKUP = "tenants/shop/components/backup.yaml"
TRAPS = {
    "reconcile": ("pipeline:after-examine", "approve:before-bundle", "approve:after-members", "approve:before-controls"),
    "serve": ("publish:before-timestamp", "publish:after-snapshot"),
}
"""Where a copy may come to a stop by itself: in the middle of what another one does meanwhile."""
CHANGED = ((MOTD, "motd", "/etc/motd"), (BACKUP, "backup", "/etc/backup.conf"))
"""What each commit changes: something of both fleets."""
LONGEST_STOP = 9.0
"""Seconds: half as long again as a lease lasts."""
BROKEN = re.compile(r"^\S+ (refused|failed|restored|error|fault) .*$|^.* 404.*$", re.MULTILINE)
"""What an agent says of a poll that brought something else than an order; that nobody answers is none of that."""


@dataclass(slots=True)
class Fenced:
    """Everything of a test; agents reach either `serve` through the balancer."""

    zones: TwoZones
    registry: Registry
    balancer: Balancer
    serves: list[Copy]
    reconciles: list[Copy]
    site: Site

    @property
    def copies(self) -> list[Copy]:
        """All of them."""
        return [*self.serves, *self.reconciles]

    def join(self) -> None:
        """Have all hosts enrol, and start their agents."""
        for host in HOSTS:
            words = ["token", "create", "--tenant", TENANT, "--agent", host, "--ttl", "1h", "--format", "json"]
            done = CliRunner().invoke(cli, [*words, "--state", str(self.serves[0].state)], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            joined = self.site.enroll(host, json.loads(done.stdout)["token"], server=f"https://127.0.0.1:{self.balancer.port}")
            assert joined.returncode == 0, joined.stderr
            self.site.start_enrolled(host)

    def holds(self, content: str) -> None:
        """Wait until all hosts have a content; whoever stands still by then goes on."""

        def there() -> bool:
            return all(self.site.content(host, "/etc/motd") == content for host in HOSTS)

        until(f"all have {content!r}", there, patience=PATIENCE, log=self.serves[0].log)

    def start(self, copy: Copy, *, fault: str = "") -> None:
        """Start a copy; agents are sent to it where it serves them."""
        copy.start(fault=fault)
        if copy.zone == "serve":
            copy.url("agents")
            self.balancer.backends[:] = [urlsplit(one.url("agents")).port or 0 for one in self.serves if not one.ended]

    def go_on(self) -> None:
        """Wake whoever stands still."""
        for copy in self.copies:
            if copy.process is not None:
                copy.process.send_signal(signal.SIGCONT)

    def desired(self, fleet: str) -> list[tuple[int, int]]:
        """Return the decision that brought the desired bundle, by version of the releases that the pipeline signed."""
        trust, prefix = read_trust(self.zones.store, TENANT), layout.approved(TENANT, fleet)
        assert trust is not None
        found = []
        for version in layout.versions(self.zones.store, prefix, releases.ROLE):
            data = self.zones.store.get(f"{prefix}{version}.{releases.ROLE}.json") or b""
            bundle = releases.read(trust.targets, TENANT, fleet, data, version=version).bundle
            assert bundle is not None
            found.append((version, bundle[1].decision))
        return found

    def told(self) -> list[tuple[str, int, str]]:
        """Return the receipts that were kept: which host, under which serial, of which digest."""
        table = schema.receipts
        with self.registry.read() as connection:
            rows = connection.execute(select(table.c.agent, table.c.serial, table.c.digest).where(table.c.fleet == "web"))
            return [(agent, serial, digest) for agent, serial, digest in rows]


def files() -> dict[str, str]:
    """Return a repository with two fleets: one of hosts that go in two waves, and one of no host that enrolled."""
    web = fleet_of({host: {"canary": "true"} if host == HOSTS[0] else {} for host in HOSTS}, strategy())
    others = {path: text for path, text in repository().items() if "/agents/web" not in path and path not in web}
    return others | web


@pytest.fixture
def fenced(tmp_path: Path) -> Iterator[Fenced]:
    with (
        postgresql_server.running() as database,
        contextlib.closing(Registry.open(database.url(database.database()))) as registry,
        balancing([]) as balancer,
    ):
        zones = TwoZones(tmp_path, None, str(tmp_path / "store"))
        development_authority(tmp_path / "keys", zones.store, [TENANT])
        registry.migrate()
        more = {"registry": [f'url = "{registry.shown}"']}
        serves = [zones.copy("serve", name=f"serve-{number}", more=more) for number in range(2)]
        reconciles = [zones.copy("reconcile", name=f"reconcile-{number}") for number in range(2)]
        made = Fenced(zones, registry, balancer, serves, reconciles, Site(tmp_path / "agents"))
        zones.installation.commit(files())
        try:
            yield made
        finally:
            made.site.stop()
            zones.stop()


def test_a_reconciler_that_was_stopped_in_the_middle_approves_nothing_over_what_another_one_did(fenced: Fenced) -> None:
    first, second = fenced.reconciles
    fenced.start(first)
    until(
        "its first decision",
        lambda: layout.versions(fenced.zones.store, layout.approved(TENANT, "web"), releases.ROLE) == [1],
        log=first.log,
    )
    first.stop()
    fenced.start(first, fault="stopped:pipeline:after-approve")
    fenced.zones.installation.commit({MOTD: component("motd", "/etc/motd", "two"), BACKUP: component("backup", "/etc/backup.conf", "two")})
    until("it stands still between two fleets", lambda: stands(first), log=first.log)
    fenced.start(second)
    until("another one goes on", lambda: len(fenced.desired("web")) == 2, log=second.log)
    fenced.zones.installation.commit({MOTD: component("motd", "/etc/motd", "three")})
    until("it has the next decision", lambda: len(fenced.desired("web")) == 3, log=second.log)
    before = fenced.desired("web")
    fenced.go_on()
    until("it learns of it", lambda: "stops writing" in first.said, log=first.log)
    fenced.zones.installation.commit({MOTD: component("motd", "/etc/motd", "four")})
    until("the next commit", lambda: len(fenced.desired("web")) > len(before), log=second.log)
    decisions = [decision for _, decision in fenced.desired("web")]
    assert decisions == sorted(decisions)


def stands(copy: Copy) -> bool:
    """Return whether a process stands still."""
    assert copy.process is not None
    return Path(f"/proc/{copy.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_no_host_is_given_two_orders_whatever_stops_wakes_and_kills_those_who_decide_and_publish(fenced: Fenced) -> None:
    seed = random.randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    for copy in fenced.copies:
        fenced.start(copy)
    until(
        "published", lambda: fenced.zones.store.get(layout.metadata(TENANT, "web", "timestamp.json")) is not None, log=fenced.serves[0].log
    )
    with polling(fenced.zones.store) as poller:
        fenced.join()
        fenced.holds("hello")
        number, done = _disturb(fenced, random.Random(seed))
    told = f"{number} commits, {len(poller.seen)} orders, {poller.polls} polls of the store, {len(fenced.told())} receipts, {done}"
    sys.stdout.write(told + "\n")
    assert poller.broken == [], told
    assert broken_polls(fenced) == [], told
    assert orders_that_nobody_gave(fenced, poller) == [], told
    for name in ("web", "db"):
        decisions = [decision for _, decision in fenced.desired(name)]
        assert decisions == sorted(decisions), "an older decision was approved over a newer one"
    assert all("Traceback" not in copy.log.read_text() for copy in fenced.copies)


def _disturb(fenced: Fenced, dice: random.Random) -> tuple[int, dict[str, int]]:
    """Commit again and again, each time while a copy is stopped, killed, or led into a trap; return how often what was done."""
    done, number, end = dict.fromkeys(("stop", "kill", "trap"), 0), 0, time.monotonic() + FOR
    while time.monotonic() < end:
        number += 1
        copy, how = dice.choice(fenced.copies), dice.choice(sorted(done))
        done[how] += 1
        if how != "stop":
            copy.kill()
            fenced.start(copy, fault=f"stopped:{dice.choice(TRAPS[copy.zone])}@{dice.randint(1, 3)}" if how == "trap" else "")
        fenced.zones.installation.commit({path: component(name, place, f"content {number}") for path, name, place in CHANGED})
        time.sleep(dice.uniform(0, 1))
        if how == "stop":
            assert copy.process is not None
            copy.process.send_signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0, LONGEST_STOP))
        fenced.go_on()
        fenced.holds(f"content {number}")
    return number, done


def broken_polls(fenced: Fenced) -> list[str]:
    """Return what agents said of polls that brought them something else than an order."""
    return [found[0] for host in HOSTS for found in BROKEN.finditer(fenced.site.agent_log(host).read_text())]


def orders_that_nobody_gave(fenced: Fenced, poller: Poller) -> list[tuple[str, int, str]]:
    """Return the receipts that are of another release than the one order under their serial names."""
    named = {
        serial: {release.digest for release in (order.stable, order.candidate) if release is not None}
        for serial, order in poller.seen.items()
    }
    return [one for one in fenced.told() if one[1] in named and one[2] not in named[one[1]]]
