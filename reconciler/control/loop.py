"""The control zone's loop: what is approved becomes published, fleet by fleet.

Its state is the store and nothing else; what it keeps in memory only saves looking again. A pass is a list of steps:

    hold the lease ─▶ find the tenants ─▶ read each one's trust and controls ─▶ for each of its fleets:
        read what is approved and what is published ─▶ decide the rollout document ─▶ publish ─▶ record how it stands

A fleet that fails is an error of that fleet alone, and a tenant that waits for keys holds up nobody: both are logged, recorded for
`ordain status`, and tried again, sooner if something about them changes.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agent.protocol.errors import MalformedError, OrdainError, disk_trouble, if_of_the_machine
from agent.protocol.faults import reached
from agent.protocol.rollout import Release
from reconciler.control import records
from reconciler.control.conduct.conductor import Conductor, Decided
from reconciler.control.conduct.task import Task
from reconciler.control.numbering import floors_of
from reconciler.control.publish import Work, publish_fleet
from reconciler.control.records import Floors, Status, TenantStatus
from reconciler.control.rollout.document import next_document
from reconciler.control.tenants import Tenant, discover, read_tenant
from reconciler.control.wakeup import Wakeup, orders_in, reports_in, watching
from reconciler.publication import layout
from reconciler.publication.keys import KeyRing
from reconciler.publication.leadership import LEASE_TTL, Leadership, Leases, StoreLeases
from reconciler.publication.lease import HeldError, LostError
from reconciler.publication.published import Published, read_published
from reconciler.publication.releases import read_newest
from reconciler.publication.store import CONTROL_PREFIXES, Store

PLACES = ("control:after-lease", "control:after-trust", "control:after-document", "control:before-record", "control:after-record")
"""Where a crash test may kill the control zone here."""
REST_FACTOR = 20
"""A look at everything rests for this many times as long as it took: at most a twentieth of a core, however many fleets."""
NEWS_REST = 2
"""A step that receipts brought about rests for this many times as long as it took: of a fleet that reports all at once there is one
step for many receipts."""
RETRY_FIRST = timedelta(seconds=1)
RETRY_MOST = timedelta(seconds=60)
"""Between tries of a fleet that fails and about which nothing changes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """What the loop works with."""

    store: Store
    """Best a `Scoped(inner=…, write=CONTROL_PREFIXES)`."""
    keys: KeyRing
    """The control zone's ring; a tenant whose keys are not in it is waiting for keys."""
    holder: str
    """Who holds the lease: stays the same over restarts on one state directory, differs between machines."""
    leases: Leases | None = None
    """Where copies agree who publishes: the registry that they share; None for a file in the store."""
    lease: timedelta = LEASE_TTL
    """How long a lease lasts after its last renewal; as `leases` has it."""
    conductor: Conductor | None = None
    """Who conducts rollouts by what the registry knows; without one the newest release is stable at once, since nothing can be measured."""
    poll: float = 1.0
    """Seconds between looks at the store when nothing wakes the loop."""
    news: Callable[[Wakeup], AbstractContextManager[object]] = nullcontext
    """What wakes the loop besides the store, as long as the context lasts, by keys of `rollout_news`."""
    published: Callable[[str, str], None] = lambda tenant, fleet: None  # noqa: ARG005 - for whoever tells nobody
    """Called with tenant and fleet once a timestamp has moved: for agents that wait. It returns soon, and raises nothing."""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What was found about one fleet when it was last looked at; `due` is when to look again although nothing changed."""

    approved: int
    controls: int
    trust: tuple[int, int]
    due: datetime
    moves: bool = False
    failures: int = 0


@dataclass(slots=True, kw_only=True)
class _Loop:
    """What lasts between passes; losing all of it costs time only."""

    settings: ControlSettings
    leader: Leadership
    seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    """As they were read last."""
    standby: str = ""
    """Why this process does not publish, as it was said last."""


def run(settings: ControlSettings, stop: threading.Event, *, ready: Callable[[], None] = lambda: None) -> None:
    """Publish what is approved until `stop` is set; a step that has begun is finished, then the lease is given back.

    `ready` is called after each whole pass, and while another copy publishes: this one answers agents all the same. Trouble with one
    fleet is logged, recorded in its status and tried again.
    """
    loop = _Loop(settings=settings, leader=_leadership(settings))
    wakeup = Wakeup()
    for prefix in CONTROL_PREFIXES:
        settings.store.sweep(prefix)
    with watching(settings.store, wakeup), settings.news(wakeup):
        changed: frozenset[str] | None = None
        rest_until = 0.0
        while not stop.is_set():
            began = time.monotonic()
            done = _pass(loop, changed, stop)
            if changed is None:
                rest_until = time.monotonic() + max(settings.poll, REST_FACTOR * (time.monotonic() - began))
                if done:
                    ready()
            elif reports_in(changed):
                stop.wait(min(NEWS_REST * (time.monotonic() - began), settings.poll))
            changed = _wait(wakeup, stop, rest_until, settings.poll)
    loop.leader.give_back()


def _leadership(settings: ControlSettings) -> Leadership:
    in_store = StoreLeases(
        store=settings.store, key=layout.CONTROL_LEASE, holder=settings.holder, now=lambda: datetime.now(UTC), ttl=settings.lease
    )
    return Leadership(leases=settings.leases or in_store, ttl=settings.lease)


def _wait(wakeup: Wakeup, stop: threading.Event, rest_until: float, poll: float) -> frozenset[str] | None:
    """Return the keys that changed, or None when it is time to look at everything, or to stop."""
    while not stop.is_set():
        left = rest_until - time.monotonic()
        changed = wakeup.take(min(max(left, 0.0), poll, 0.2))
        if changed:
            return changed
        if left <= 0:
            return None
    return None


def _pass(loop: _Loop, changed: frozenset[str] | None, stop: threading.Event) -> bool:
    """Look at the fleets that `changed` keys are about, at all of them if it is None; return whether it was done, or another copy does."""
    if not _leads(loop):
        return bool(loop.standby)
    reached("control:after-lease")
    changed = _stirred(loop, changed)
    try:
        names = discover(loop.settings.store) if changed is None else sorted({key.split("/")[1] for key in changed})
    except OrdainError as error:
        _log.error("the store can't be read: %s", error)
        return False
    for name in names:
        if stop.is_set() or not _leads(loop):
            return False
        try:
            _tenant_step(loop, name, changed, stop)
        except (OrdainError, OSError) as error:
            known = disk_trouble(error) if isinstance(error, OSError) else error
            _log.error("left for the next pass: %s", known, extra={"tenant": name})
    return True


def _stirred(loop: _Loop, changed: frozenset[str] | None) -> frozenset[str] | None:
    """Have fleets looked at anew that the registry has news of, and leave out receipts of those where nothing is on its way."""
    if changed is None:
        return None
    resting = {key for key, fleet in reports_in(changed).items() if not ((seen := loop.seen.get(fleet)) and seen.moves)}
    for fleet in {**reports_in(changed - resting), **orders_in(changed)}.values():
        loop.seen.pop(fleet, None)
    return changed - resting


def _tenant_step(loop: _Loop, name: str, changed: frozenset[str] | None, stop: threading.Event) -> None:
    """Look at a tenant's fleets; stops early where the tenant waits for something, or its files can't be believed."""
    tenant = _read_tenant(loop, name, datetime.now(UTC))
    if tenant is None:
        return
    reached("control:after-trust")
    if loop.settings.conductor is not None:
        for fleet in loop.settings.conductor.ordered(name):
            loop.seen.pop((name, fleet), None)
    for fleet in _fleets(tenant, name, changed):
        if stop.is_set() or not loop.leader.held:
            return
        _fleet_step(loop, tenant, fleet)


def _fleets(tenant: Tenant, name: str, changed: frozenset[str] | None) -> Iterable[str]:
    """Return the fleets to look at: all of a tenant's, unless only releases of some changed."""
    if changed is None:
        return sorted(tenant.controls.fleets)
    parts = [key.split("/") for key in changed if key.split("/")[1] == name]
    if any(len(part) == len(("approved", "tenant", "controls.json")) for part in parts):
        return sorted(tenant.controls.fleets)
    return sorted({part[2] for part in parts} & tenant.controls.fleets.keys())


def _leads(loop: _Loop) -> bool:
    """Take the lease unless it is held already; return whether this process has it. Stops early while somebody else has."""
    if loop.leader.held:
        return True
    standby = ""
    try:
        _log.info("holding the lease", extra={"epoch": loop.leader.take()})
        loop.seen.clear()  # another copy may have published meanwhile
    except HeldError as error:
        standby = str(error)
        if standby != loop.standby:
            _log.info("not publishing: %s", error)
    except OrdainError as error:
        _log.warning("not publishing: %s", error)
    loop.standby = standby
    return loop.leader.held


def _read_tenant(loop: _Loop, name: str, now: datetime) -> Tenant | None:
    """Return a tenant that can be published; record why not otherwise."""
    store = loop.settings.store
    recorded = records.read_tenant_status(store, name)
    floor = recorded.controls if recorded else 0
    try:
        found = read_tenant(store, loop.settings.keys, name, floor=floor, now=now, known=loop.tenants.pop(name, None))
    except OrdainError as error:
        _record_tenant(store, recorded, TenantStatus(format=records.FORMAT, tenant=name, state="error", why=str(error), controls=floor))
        return None
    if isinstance(found, str):
        _record_tenant(store, recorded, TenantStatus(format=records.FORMAT, tenant=name, state="waiting", why=found, controls=floor))
        return None
    _record_tenant(store, recorded, TenantStatus(format=records.FORMAT, tenant=name, state="ok", controls=found.controls.sequence))
    loop.tenants[name] = found
    return found


def _record_tenant(store: Store, recorded: TenantStatus | None, status: TenantStatus) -> None:
    if status == recorded:
        return
    level = logging.ERROR if status.state == "error" else logging.INFO
    _log.log(level, "tenant: %s", status.why or "its fleets are published", extra={"tenant": status.tenant})
    try:
        records.write_tenant_status(store, status)
    except OrdainError as error:
        _log.warning("its status could not be recorded: %s", error, extra={"tenant": status.tenant})


def _fleet_step(loop: _Loop, tenant: Tenant, fleet: str) -> None:
    """Bring one fleet's repository to what is approved; stops early when nothing about it changed and nothing is due."""
    store, name = loop.settings.store, tenant.trust.tenant
    now = datetime.now(UTC)
    versions = layout.versions(store, layout.approved(name, fleet), "releases")
    newest = versions[-1] if versions else 0
    seen = loop.seen.get((name, fleet))
    trust = (tenant.trust.root.version, tenant.trust.targets.version)
    known = seen is not None and (seen.approved, seen.controls, seen.trust) == (newest, tenant.controls.sequence, trust)
    if seen is not None and known and now < seen.due:
        return
    failures = seen.failures if seen is not None and known else 0
    moves = False
    try:
        due, moves = _publish(loop, tenant, fleet, now)
        failures = 0
    except LostError:
        raise  # nothing is wrong with the fleet: another copy sees to it
    except Exception as problem:  # noqa: BLE001 - not even a fault of ours in one fleet may hold up the others
        error = if_of_the_machine(problem)
        failures += 1
        due = now + min(RETRY_FIRST * 2 ** min(failures - 1, 10), RETRY_MOST)
        unexpected = None if isinstance(error, OrdainError) else error
        _log.error("not published: %s", error, extra={"tenant": name, "fleet": fleet}, exc_info=unexpected)
        _record(store, records.stopped(records.read_status(store, name, fleet), name, fleet, "error", str(error)))
    loop.seen[name, fleet] = _Seen(approved=newest, controls=tenant.controls.sequence, trust=trust, due=due, moves=moves, failures=failures)


def _publish(loop: _Loop, tenant: Tenant, fleet: str, now: datetime) -> tuple[datetime, bool]:
    """Read, decide, publish and record one fleet; return when it is due again, and whether receipts may move it before."""
    store, trust = loop.settings.store, tenant.trust
    recorded = records.read_status(store, trust.tenant, fleet)
    releases = read_newest(store, trust, fleet)
    if releases is None or releases.desired is None:
        why = tenant.controls.fleets[fleet].why or "waiting for its first release"
        _record(store, records.stopped(recorded, trust.tenant, fleet, "waiting", why))
        return now + RETRY_MOST, False
    if store.version(layout.controls(trust.tenant)) != tenant.stored:
        return now, False  # a release goes by what its own commit says of how: newer controls are read first
    standing, stored = _standing(store, trust.tenant, fleet)
    unsigned = standing.unsigned(trust) if standing else frozenset()
    floors = floors_of(standing, recorded.floors if recorded else Floors(), unsigned)
    task = Task(
        tenant=trust.tenant,
        fleet=fleet,
        controls=tenant.controls,
        releases=releases,
        standing=standing.document if standing and "rollouts" not in unsigned else None,
        epoch=_epoch(loop, floors),
        serial_floor=floors.serial,
        now=now,
        others=lambda other: read_newest(store, trust, other),
    )
    decided = _decide(loop, task, releases.desired)
    document = decided.document
    reached("control:after-document")
    freshness = timedelta(seconds=tenant.controls.fleets[fleet].freshness)
    leads = loop.leader.require
    work = Work(store=store, trust=trust, keys=tenant.keys, fleet=fleet, freshness=freshness, now=now, leads=leads)
    publication = publish_fleet(
        work, releases=releases, document=document, standing=standing, floors=floors, stored=stored, unsigned=unsigned
    )
    if publication.changed:
        news = {"tenant": trust.tenant, "fleet": fleet, "serial": document.serial, "digest": releases.desired.digest}
        _log.info("published", extra=news)
        loop.settings.published(trust.tenant, fleet)
    reached("control:before-record")
    _record(store, records.published(trust.tenant, fleet, releases, document, publication.floors, rollout=decided.rollout))
    reached("control:after-record")
    return min(publication.due, decided.due), decided.moves


def _decide(loop: _Loop, task: Task, newest: Release) -> Decided:
    """Return the document that a fleet should have: as its rollout goes, or of the newest release where nobody conducts it."""
    if loop.settings.conductor is not None:
        return loop.settings.conductor.decide(task)
    document = next_document(task.standing, newest, fleet=task.name, epoch=task.epoch, now=task.now, serial_floor=task.serial_floor)
    return Decided(document=document, due=datetime.max.replace(tzinfo=UTC))


def _epoch(loop: _Loop, floors: Floors) -> int:
    """Return the lease's epoch, after taking it anew where a greater one is published (its file was lost); raises `LostError`."""
    epoch = loop.leader.require()
    return loop.leader.take(floors.epoch) if floors.epoch > epoch else epoch


def _standing(store: Store, tenant: str, fleet: str) -> tuple[Published | None, str | None]:
    """Return what stands published, and the version of the timestamp's file; None where it is damaged and must be made anew."""
    try:
        published = read_published(store, tenant, fleet)
    except MalformedError as error:
        _log.warning("published anew, because it is damaged: %s", error, extra={"tenant": tenant, "fleet": fleet})
        return None, store.version(layout.metadata(tenant, fleet, "timestamp.json"))
    return published, published.stored if published else None


def _record(store: Store, status: Status) -> None:
    """Write a fleet's status; what can't be recorded is logged and does not hold up publication."""
    try:
        records.write_status(store, status)
    except OrdainError as error:
        _log.warning("its status could not be recorded: %s", error, extra={"tenant": status.tenant, "fleet": status.fleet})
