"""Three copies of `serve` and two of `reconcile` on one PostgreSQL and one bucket: restarted in turn, killed, and their database with them.

Agents speak mutual TLS through one address. What they are told is theirs is counted: each poll, and each receipt that was acknowledged.
"""

import asyncio
import contextlib
import json
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from sqlalchemy import select

from reconciler.control.authority.ceremony import development_authority
from reconciler.control.authority.keeper import Keeper
from reconciler.control.identity.standing import Standing
from reconciler.control.known import KnownTenants
from reconciler.control.leading import PUBLISHING
from reconciler.control.registry import leases, schema
from reconciler.control.registry.registry import Registry
from reconciler.publication.keys import KeyRing
from tests import postgresql_server, s3_server
from tests.acceptance_cases import agent, component, fleet, repository
from tests.balancer import Balancer, balancing
from tests.conftest import part
from tests.e2e.installation import until
from tests.e2e.two_zones import TENANT, Copy, TwoZones
from tests.talk_cases import Client, Host, RefusedAnswerError, Site, receipt

pytestmark = [pytest.mark.slow, pytest.mark.needs("opa", "git", "s3", "postgresql"), pytest.mark.timeout(900)]
MOTD = "tenants/shop/components/motd.yaml"
AT_ONCE = {
    "tenants/shop/fleets/web.yaml": f"{fleet('web', 'motd', role='web')}  rollout: {{waves: [{{name: all, limit: 100%, soak: 0s}}]}}\n"
}
"""What is tried here are copies: nobody waits for a wave."""
TIMESTAMP = "metadata/timestamp.json"
AGENTS = [f"node-{number}" for number in range(12)]
SLOW_DOWN = 429
"""What is asked for more often than it may be is no failed poll: agents wait as they are told."""
WITHIN = 10.0
"""Seconds from a leader's death until another one leads."""


@dataclass(slots=True)
class Fleet:
    """Agents in a thread of their own: each waits for news of its fleet and reports a receipt after each answer."""

    port: int
    hosts: list[Host]
    polls: int = 0
    failures: list[str] = field(default_factory=list)
    acknowledged: dict[str, set[int]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    ended: bool = False

    def run(self) -> None:
        """Go on until `ended` is set."""
        asyncio.run(self._all())

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for host in self.hosts:
                group.create_task(self._one(host))

    async def _one(self, host: Host) -> None:
        known: dict[str, int] = {}
        fleets: list[str] = []
        number = 1
        async with Client(host, self.port) as client:
            while not self.ended:
                try:
                    answer = await client.watch(wait=5, versions=known, fleets=fleets, reported=number - 1)
                    known |= {name: json.loads(files[TIMESTAMP])["signed"]["version"] for name, files in answer.parts.items()}
                    fleets = answer.fleets
                    self.versions[host.agent] = known.get("web", 0)
                    self.polls += 1
                    number = await self._report(client, host, number)
                except RefusedAnswerError as error:
                    if error.status != SLOW_DOWN:
                        self.failures.append(f"{time.strftime('%X')} {host.agent}: {error}")
                    await asyncio.sleep(float(error.headers.get("Retry-After", 1)))
                except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                    self.failures.append(f"{time.strftime('%X')} {host.agent}: {type(error).__name__} {error}")
                    await asyncio.sleep(0.3)

    async def _report(self, client: Client, host: Host, number: int) -> int:
        """Send a batch with one receipt; return the number of the next. One that was not acknowledged is sent again under its number."""
        said = receipt(host.agent, serial=number, digest=f"{number:064x}")
        taken = await client.report(number, receipts=[host.signed(said)])
        assert taken.sequence == number
        self.acknowledged.setdefault(host.agent, set()).add(number)
        return number + 1


@dataclass(slots=True)
class Many:
    """Everything of a test."""

    zones: TwoZones
    database: postgresql_server.Server
    registry: Registry
    balancer: Balancer
    serves: list[Copy]
    reconciles: list[Copy]
    fleet: Fleet

    def start(self, copy: Copy) -> None:
        """Start a copy of `serve` and wait until it would be sent agents."""
        copy.start()
        self.point()
        ready = copy.url("local") + "/readyz"

        def answers() -> bool:
            with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=5) as answer:
                return bool(answer.status == 200)
            return False

        until("it is ready", answers, log=copy.log)

    def point(self) -> None:
        """Have the balancer know where copies listen now."""
        self.balancer.backends[:] = [urlsplit(one.url("agents")).port or 0 for one in self.serves if not one.ended]

    def leader(self) -> str:
        """Return who publishes, by the registry."""
        with contextlib.suppress(Exception), self.registry.read() as connection:
            found = leases.get(connection, PUBLISHING)
            return found.holder if found else ""
        return ""

    def leading(self) -> Copy:
        """Return the copy of `serve` that publishes."""
        return next(one for one in self.serves if self.leader().endswith(f":{one.state}"))

    def published(self, content: str) -> None:
        """Commit, and wait until all agents were told of what came of it."""
        before = dict(self.fleet.versions)
        self.zones.installation.commit({MOTD: component("motd", "/etc/motd", content)})
        log = self.leading().log if self.leader() else None
        until(f"{content}: all are told", lambda: all(self.fleet.versions.get(one, 0) > before.get(one, 0) for one in AGENTS), log=log)

    def kept(self) -> dict[str, set[int]]:
        """Return the receipts in the registry, by agent."""
        table = schema.receipts
        with self.registry.read() as connection:
            rows = connection.execute(select(table.c.agent, table.c.serial)).all()
        return {name: {serial for one, serial in rows if one == name} for name in AGENTS}


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Many]:
    program = part("s3")
    assert program is not None
    with (
        s3_server.running(program, tmp_path / "s3") as server,
        postgresql_server.running() as database,
        contextlib.closing(Registry.open(database.url(database.database()))) as registry,
        balancing([]) as balancer,
    ):
        zones = TwoZones(tmp_path, server, server.bucket("ordain-store"))
        development_authority(tmp_path / "keys", zones.store, [TENANT])
        registry.migrate()
        more = {"registry": [f'url = "{registry.shown}"']}
        serves = [zones.copy("serve", name=f"serve-{number}", more=more) for number in range(3)]
        reconciles = [zones.copy("reconcile", name=f"reconcile-{number}") for number in range(2)]
        made = Many(zones, database, registry, balancer, serves, reconciles, Fleet(balancer.port, enrolled(zones, registry)))
        thread = threading.Thread(target=made.fleet.run)
        try:
            nodes = {f"tenants/shop/agents/{name}.yaml": agent(name, role="web") for name in AGENTS}
            zones.installation.commit(repository() | AT_ONCE | nodes)
            for copy in (*reconciles, *serves):
                copy.start()
            for copy in serves:
                copy.url("agents")
            made.point()
            zones.reaches(serves[0], "hello")
            thread.start()
            until("all agents are told", lambda: len(made.fleet.versions) == len(AGENTS), log=serves[0].log)
            yield made
        finally:
            made.fleet.ended = True
            if thread.ident is not None:
                thread.join()
            zones.stop()


def enrolled(zones: TwoZones, registry: Registry) -> list[Host]:
    """Return agents with certificates that the registry knows."""
    keeper = Keeper(zones.store, KeyRing(zone="control", directory=zones.directory / "keys" / "control"))
    keeper.look()
    known = KnownTenants(zones.store)
    site = Site(zones={}, registry=registry, known=known, standing=Standing(), keeper=keeper, talk=None)  # type: ignore[arg-type]
    return [site.enrol(name) for name in AGENTS]


def test_copies_are_restarted_and_killed_and_nothing_acknowledged_is_lost(many: Many) -> None:
    fleet = many.fleet
    many.published("one")
    fleet.failures.clear()
    before = fleet.polls
    for copy in many.serves:
        assert copy.stop() == 0
        many.start(copy)
    assert fleet.polls > before
    assert fleet.failures == [], "polls failed while copies were restarted one after another"
    many.published("after a rolling restart")
    dead, was = many.leading(), many.leader()
    dead.kill()
    took = until("another copy leads", lambda: many.leader() not in ("", was))
    many.point()
    many.published("by another leader")
    many.start(dead)
    first = next(one for one in many.reconciles if "standing by" not in one.said)
    first.kill()
    many.published("by another reconciler")
    for how in (signal.SIGINT, signal.SIGKILL):
        many.database.stop(how)
        time.sleep(1)
        many.database.start()
        many.published(f"after the database ended by {how.name}")
    fleet.ended = True
    kept = many.kept()
    lost = {name: sorted(numbers - kept[name]) for name, numbers in fleet.acknowledged.items() if numbers - kept[name]}
    assert lost == {}
    assert took < WITHIN
    for copy in (*many.serves, *many.reconciles):
        assert "Traceback" not in copy.log.read_text()
