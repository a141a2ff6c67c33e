"""A hundred hosts whose certificates live for seconds, each with the agent's own code, under load, for as long as ORDAIN_TEST_SECONDS says.

They renew over the old certificate, some are away until theirs is over, and once the server is killed. None is lost: each ends as the
host that it enrolled as, and of what it was told is kept nothing is missing, nor there twice.
"""

import io
import json
import os
import random
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from agent.contact import Contact
from agent.disk import Disk
from agent.fetching.fetcher import Http
from agent.joining.enrol import Asked, enrol
from agent.joining.identity import Enrolled, Identities
from agent.logs import Log
from agent.operations.starting import TOLD, settings_for
from agent.protocol.enrolment import read_token
from agent.reporting.spool import Spool
from agent.stopping import Stop
from reconciler.control.registry import schema
from reconciler.control.registry.registry import Registry
from tests.acceptance_cases import agent, repository
from tests.e2e.enrolled import Site
from tests.talk_cases import receipt

FOR = float(os.environ.get("ORDAIN_TEST_SECONDS", "600"))
"""Seconds of load."""
LIFE = 20.0
"""Seconds that a certificate lives: enough for a machine that is busy with something else for a few of them."""
HOSTS = 100
AWAY = 10
"""One in so many hosts is away, once, until its certificate is over."""
PATIENCE = 240.0
REPORT_RATE = 1000
"""Of the tenant, a second: what they may send is not what is tried here."""
TENANT = f"""\
apiVersion: ordain.dev/v1
kind: Tenant
metadata: {{name: shop}}
spec: {{description: A tenant of the tests., quotas: {{reportRate: {REPORT_RATE}}}}}
"""

pytestmark = [pytest.mark.slow, pytest.mark.needs("opa", "git"), pytest.mark.timeout(FOR + 900)]


@dataclass(slots=True, kw_only=True)
class Host:
    """One host; `told` is how many receipts it has recorded, `over` the longest that it was at work with a certificate that was over."""

    name: str
    state: Path
    away_at: float
    chance: random.Random
    said: io.StringIO = field(default_factory=io.StringIO)
    stop: Stop = field(default_factory=Stop)
    told: int = 0
    over: float = 0.0
    failure: str = ""

    @property
    def enrolled(self) -> Enrolled:
        """Who it is now, as its disk says."""
        found = Identities(directory=Disk(root=self.state).joining).current()
        assert found is not None
        return found

    @property
    def waiting(self) -> int:
        """How many receipts the server has not taken yet."""
        return len(Spool(disk=Disk(root=self.state)).read().receipts)

    def join(self, url: str, text: str) -> None:
        """Enrol by a token."""
        token, root = read_token(text), self.state.parent / "root"
        root.mkdir(parents=True)
        asked = Asked(server=url, tenant="shop", fingerprints=tuple(token.body.authority), token=token)
        enrol(asked, Disk(root=self.state), root=root, config=root / "agent.toml", facts={})

    def run(self) -> None:
        """Report, wait for news and renew until it is to stop, then until all is told."""
        try:
            self._run(time.monotonic())
        except BaseException as error:
            self.failure = f"{type(error).__name__}: {error}"
            raise

    def _run(self, began: float) -> None:
        disk, http = Disk(root=self.state), Http()
        settings, enrolled = settings_for(self.state, root=None, config=None, poll=30, **dict.fromkeys(TOLD))
        contact = Contact(settings=settings, enrolled=enrolled, http=http, disk=disk, stop=self.stop, log=Log("json", self.said))
        spool, away = Spool(disk=disk), self.away_at
        while not self.stop():
            if time.monotonic() - began >= away:
                away = float("inf")
                self.stop.wait(2 * LIFE)
            self.over = max(self.over, (datetime.now(UTC) - self.enrolled.ends).total_seconds())
            with disk.lock("step", wait=60, refused="busy"):
                spool.record(receipt(self.name, serial=self.told + 1, digest=f"{self.told + 1:064x}"))
            self.told += 1
            contact.report()
            contact.keep_certificate()
            contact.wait(self.chance.uniform(0.3, 2.5))
        deadline = time.monotonic() + PATIENCE
        while (self.waiting or self.enrolled.ends <= datetime.now(UTC)) and time.monotonic() < deadline:
            contact.report()
            contact.keep_certificate()
            time.sleep(0.2)
        http.close()

    @property
    def steps(self) -> Counter[str]:
        """What it said, counted."""
        return Counter(json.loads(line)["step"] for line in self.said.getvalue().splitlines())


def hosts_of(site: Site) -> list[Host]:
    """Enrol all hosts."""
    chance = random.Random(7)
    names = [f"node-{number:03}" for number in range(HOSTS)]
    nodes = {f"tenants/shop/agents/{name}.yaml": agent(name, role="web") for name in names}
    site.examined(site.commit({**repository(), "tenants/shop/tenant.yaml": TENANT, **nodes}), patience=PATIENCE)
    found = []
    for number, name in enumerate(names):
        away = chance.uniform(0.1, 0.6) * FOR if number % AWAY == 0 else float("inf")
        host = Host(name=name, state=site.place(name), away_at=away, chance=random.Random(number))
        host.join(site.agents_url, site.token(name))
        found.append(host)
    return found


def kept(registry: Registry) -> dict[str, Counter[int]]:
    """Return the receipts that are kept, by host."""
    table = schema.receipts
    with registry.read() as connection:
        rows = connection.execute(select(table.c.agent, table.c.serial)).all()
    found: dict[str, Counter[int]] = {}
    for name, serial in rows:
        found.setdefault(name, Counter())[serial] += 1
    return found


def issued(registry: Registry) -> Counter[str]:
    """Return how many certificates were issued, by how they were asked for."""
    with registry.read() as connection:
        return Counter(connection.execute(select(schema.certificates.c.how)).scalars())


def at_work(site: Site, hosts: list[Host]) -> float:
    """Have all of them at work while the server is killed once; return the seconds that they were."""
    threads = [threading.Thread(target=host.run) for host in hosts]
    began = time.monotonic()
    try:
        for thread in threads:
            thread.start()
        time.sleep(FOR / 2)
        site.kill()
        site.up()
        time.sleep(max(0.0, began + FOR - time.monotonic()))
    finally:
        for host in hosts:
            host.stop.ask()
        for thread in threads:
            thread.join()
    return time.monotonic() - began


def summary(hosts: list[Host], how: Counter[str], took: float) -> str:
    """Return what happened, in numbers."""
    steps = sum((host.steps for host in hosts), Counter[str]())
    over = max(host.over for host in hosts if host.away_at > FOR)
    return (
        f"\n{HOSTS} hosts for {took:.0f} s: {how['renewed']} renewals over the old certificate, {how['lapsed']} by its key, "
        f"{sum(host.told for host in hosts)} receipts; tries that failed: {steps['unrenewed']} renewals, {steps['unreported']} reports; "
        f"at work with a certificate that was over: {over:.1f} s at most"
    )


def test_none_is_lost_whose_certificate_lives_for_seconds(tmp_path: Path) -> None:
    site = Site(tmp_path, settings=f"[identity]\ncertificate_life = {LIFE}\n")
    try:
        site.up()
        hosts = hosts_of(site)
        took = at_work(site, hosts)
    finally:
        site.stop()
    assert [host.failure for host in hosts if host.failure] == []
    with closing(Registry.open(f"sqlite:///{site.state}/registry.db")) as registry:
        found, how = kept(registry), issued(registry)
        with registry.read() as connection:
            agents = connection.execute(select(schema.agents.c.agent, schema.agents.c.state, schema.agents.c.incarnation)).all()
    print(summary(hosts, how, took))  # noqa: T201 - what `make test-renewals` is run for
    assert [host.name for host in hosts if host.waiting or host.enrolled.ends <= datetime.now(UTC) - timedelta(seconds=PATIENCE)] == []
    assert {(state, incarnation) for _, state, incarnation in agents} == {("enrolled", 1)}, "nobody had to enrol again"
    assert len(agents) == HOSTS
    assert {host.name: Counter(range(1, host.told + 1)) for host in hosts} == found, "each receipt is kept, and once"
    assert how["enrolled"] == HOSTS
    assert how["lapsed"] >= HOSTS / AWAY
    assert how["renewed"] >= HOSTS * FOR / LIFE / 3, "as they do at half of their life, but for a machine that is busy"
