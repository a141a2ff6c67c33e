"""A tenant with development keys, a store in a temporary directory, and steps that tests of publication share.

Run as a program it approves and publishes one release, so that a test can have it die on the way:
`python -m tests.publication_cases DIRECTORY CONTENT`.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from agent.protocol import bundle, codec
from agent.protocol.bundle import Bundle, Group, Mode
from agent.protocol.membership import Member
from agent.protocol.state import File, State
from reconciler.control.numbering import floors_of
from reconciler.control.publish import Publication, Work, online_keys, publish_fleet
from reconciler.control.records import Floors
from reconciler.control.rollout.document import next_document
from reconciler.pipeline.approve import Approved, approve_release, write_controls
from reconciler.publication import controls
from reconciler.publication.ceremony import Rings, development_keys
from reconciler.publication.controls import Controls
from reconciler.publication.published import read_published
from reconciler.publication.releases import read_newest
from reconciler.publication.store import Store, open_store
from reconciler.publication.trust import Trust, read_trust

COMMIT = "c" * 40
FRESHNESS = timedelta(hours=24)
ONE_AGENT: Mapping[str, Member] = {"web-01": Member(group="all", labels={"role": "web"})}


def now() -> datetime:
    """The clock, as every caller passes it in."""
    return datetime.now(UTC)


def bundle_of(content: str, *, tenant: str = "shop", fleet: str = "web") -> tuple[bytes, str]:
    """Return `data.json` of a bundle with one file and the modes `careful` and, over it, `incident`, and its digest."""
    state = State(files=[File(path="/etc/motd", content=content)])
    group = Group(base=state, modes=[Mode(name=name, at_most=most, state=state) for name, most in (("careful", "8h"), ("incident", "1h"))])
    data = bundle.encode(Bundle(format=bundle.FORMAT, fleet=f"{tenant}/{fleet}", groups={"all": group}))
    return data, codec.sha256(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """Both zones over one store, with development keys of one tenant."""

    store: Store
    rings: Rings
    tenant: str = "shop"

    @property
    def trust(self) -> Trust:
        """The tenant's trust."""
        found = read_trust(self.store, self.tenant)
        assert found is not None
        return found

    def approve(
        self,
        content: str,
        *,
        fleet: str = "web",
        agents: Mapping[str, Member] = ONE_AGENT,
        at: datetime | None = None,
        decision: int = 1,
        commit: str = COMMIT,
    ) -> Approved:
        """Approve a bundle that holds `content`."""
        data, digest = bundle_of(content, tenant=self.tenant, fleet=fleet)
        return approve_release(
            self.store,
            self.rings.pipeline.signer(f"{self.tenant}/releases"),
            tenant=self.tenant,
            fleet=fleet,
            data=data,
            digest=digest,
            pools={"runners": Member(group="all")},
            agents=agents,
            commit=commit,
            decision=decision,
            freshness_seconds=int(FRESHNESS.total_seconds()),
            now=at or now(),
        )

    def work(self, *, fleet: str = "web", at: datetime | None = None, freshness: timedelta = FRESHNESS, store: Store | None = None) -> Work:
        """What publishing a fleet works with."""
        keys = online_keys(self.rings.control, self.trust)
        return Work(store=store or self.store, trust=self.trust, keys=keys, fleet=fleet, freshness=freshness, now=at or now())

    def publish(
        self,
        *,
        fleet: str = "web",
        at: datetime | None = None,
        freshness: timedelta = FRESHNESS,
        epoch: int = 1,
        recorded: Floors | None = None,
        store: Store | None = None,
        leads: Callable[[], object] = lambda: None,
    ) -> Publication:
        """Publish what is approved for a fleet."""
        work = replace(self.work(fleet=fleet, at=at, freshness=freshness, store=store), leads=leads)
        releases = read_newest(self.store, work.trust, fleet)
        assert releases is not None
        assert releases.desired is not None
        standing = read_published(self.store, self.tenant, fleet)
        floors = floors_of(standing, recorded or Floors())
        document = next_document(
            standing.document if standing else None,
            releases.desired,
            fleet=work.name,
            epoch=epoch,
            now=work.now,
            serial_floor=floors.serial,
        )
        stored = standing.stored if standing else None
        return publish_fleet(work, releases=releases, document=document, standing=standing, floors=floors, stored=stored)

    def write_controls(
        self, fleets: Sequence[str] = ("web",), *, at: datetime | None = None, freshness: timedelta = FRESHNESS, **more: object
    ) -> Controls:
        """Write controls that name these fleets, with one agent and one pool in all of them."""
        wanted = Controls(
            tenant=self.tenant,
            agents={"web-01": controls.Agent(fleets=list(fleets))},
            pools={"runners": controls.Pool(fleets=list(fleets), maximum=5)},
            fleets={fleet: controls.Fleet(freshness=int(freshness.total_seconds())) for fleet in fleets},
            **more,  # type: ignore[arg-type]
        )
        return write_controls(self.store, self.rings.pipeline.signer(f"{self.tenant}/releases"), wanted, now=at or now())


def make_zone(directory: Path, tenant: str = "shop", *, url: str = "") -> Zone:
    """Return both zones over the store at a URL, or below `directory`; what is there already is used."""
    store = open_store(url or str(directory / "store"))
    return Zone(store=store, rings=development_keys(directory / "keys", store, tenant), tenant=tenant)


@contextmanager
def serving(application: web.Application) -> Iterator[str]:
    """Serve an application on a free port of 127.0.0.1 from a thread; yield its address."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(application, access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def main(directory: str, content: str, url: str = "") -> None:
    """Approve and publish one release of a fleet that needs shards, and whose members change with the content."""
    zone = make_zone(Path(directory), url=url)
    zone.approve(content, agents={f"{content}-{number}": Member(group="all") for number in range(300)})
    zone.write_controls()
    zone.publish()


if __name__ == "__main__":
    main(*sys.argv[1:])
