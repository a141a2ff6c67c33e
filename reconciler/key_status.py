"""Until when what is signed is valid, with which keys, and whether somebody must see to it: `ordain keys status`, and metrics.

What people renew (root, targets) warns 60, 30 and 14 days ahead. What the loops renew by themselves warns when they should have: by then a
third of its life is left, which is time to find out why. Read from the store alone, whether or not a process runs.
"""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from securesystemslib.signer import Key

from agent.protocol.errors import OrdainError
from reconciler.control.authority.change import read as read_change
from reconciler.control.authority.generations import read_generations
from reconciler.pipeline import accepted
from reconciler.publication import controls, envelope, layout, metadata, releases
from reconciler.publication.keys import AUTHORITY, AUTHORITY_ROOT, AUTHORITY_SERVER
from reconciler.publication.published import read_published
from reconciler.publication.store import Store
from reconciler.publication.times import instant
from reconciler.publication.trust import Trust, read_trust

DAYS = (14, 30, 60)
"""How many days ahead people are warned, the nearest first."""
LATE = 3
"""What loops renew is late when less than this part of its life is left (they renew at half, timestamps within the hour)."""
REST_FACTOR = 20
"""A look at everything rests for this many times as long as it took: at most a twentieth of a core, however many fleets."""
REST = 60.0
"""Seconds that it rests at least: lives are counted in hours and days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """One signed file: `fleet` is None for a tenant's own, `tenant` empty for the pipeline's; `why` says what can't be read."""

    tenant: str
    role: str
    fleet: str | None = None
    expires: datetime | None = None
    keys: tuple[str, ...] = ()
    life: timedelta | None = None
    """How long it lives where a loop renews it, None where people do."""
    why: str = ""

    def left(self, now: datetime) -> float:
        """Return the seconds that are left, below 0 after the end."""
        return (self.expires - now).total_seconds() if self.expires else 0.0

    def warning(self, now: datetime) -> str:
        """Return `expired`, `late`, `14d`, `30d`, `60d` or nothing."""
        left = timedelta(seconds=self.left(now))
        if self.why or left <= timedelta():
            return "expired" if not self.why else "unreadable"
        if self.life is not None:
            return "late" if left < self.life / LATE else ""
        return next((f"{days}d" for days in DAYS if left <= timedelta(days=days)), "")


def gather(store: Store, repository: Iterable[Key] = ()) -> list[Expiry]:
    """Return all that expires; accepted state only where the pipeline's keys (`repository`) are known."""
    found = [one for tenant in layout.children(store, "trust/") for one in _tenant(store, tenant)]
    return [*_accepted(store, list(repository)), *_authority(store), *found]


def _authority(store: Store) -> Iterator[Expiry]:
    """Yield the certificates of the authority by which something is issued: its roots, those of servers, and of each tenant."""
    try:
        generations = read_generations(store)
        change = read_change(store)
    except OrdainError as error:
        yield Expiry(tenant="", role=AUTHORITY_ROOT, why=str(error))
        return
    used = change.used if change else {one.number for one in generations[-1:]}
    for one in generations:
        if one.number in used:
            yield _certificate("", AUTHORITY_ROOT, one.root)
            yield _certificate("", AUTHORITY_SERVER, one.server)
            yield from (_certificate(tenant, AUTHORITY, found) for tenant, found in one.tenants.items())


def _certificate(tenant: str, role: str, found: x509.Certificate) -> Expiry:
    """Return until when a certificate is valid; its keys are named by the SHA-256 of it, as tokens name roots."""
    return Expiry(tenant=tenant, role=role, expires=found.not_valid_after_utc, keys=(found.fingerprint(hashes.SHA256()).hex(),))


def _accepted(store: Store, keys: list[Key]) -> Iterator[Expiry]:
    try:
        stored = accepted.read(store, *keys) if keys else None
    except OrdainError as error:
        yield Expiry(tenant="", role="accepted", why=str(error))
        return
    if stored is not None:
        signed = _signed_by(store.get(accepted.KEY) or b"", keys)
        yield Expiry(tenant="", role="accepted", expires=instant(stored.state.expires, what=accepted.KEY), keys=signed)


def _tenant(store: Store, tenant: str) -> Iterator[Expiry]:
    try:
        trust = read_trust(store, tenant)
        if trust is None:
            return
        data = store.get(layout.controls(tenant))
        known = controls.read(data, trust.keys("releases"), tenant=tenant) if data else None
    except OrdainError as error:
        yield Expiry(tenant=tenant, role="root", why=str(error))
        return
    yield Expiry(tenant=tenant, role="root", expires=trust.root.expires, keys=tuple(trust.root.roles["root"].keyids))
    yield Expiry(tenant=tenant, role="targets", expires=trust.targets.expires, keys=tuple(trust.root.roles["targets"].keyids))
    if data is None or known is None:
        return
    signed = _signed_by(data, trust.keys("releases"))
    yield Expiry(tenant=tenant, role="controls", expires=instant(known.expires, what="controls"), keys=signed, life=controls.LIFE)
    for name, fleet in sorted(known.fleets.items()):
        yield from _fleet(store, trust, name, timedelta(seconds=fleet.freshness))


def _fleet(store: Store, trust: Trust, fleet: str, freshness: timedelta) -> Iterator[Expiry]:
    try:
        approved = releases.read_newest(store, trust, fleet)
        published = read_published(store, trust.tenant, fleet)
    except OrdainError as error:
        yield Expiry(tenant=trust.tenant, fleet=fleet, role="releases", why=str(error))
        return
    if approved is not None:
        keys = tuple(key.keyid for key in trust.keys("releases") if _is_of(approved, trust.tenant, fleet, key))
        life = metadata.releases_life(freshness)
        yield Expiry(tenant=trust.tenant, fleet=fleet, role="releases", expires=approved.signed.expires, keys=keys, life=life)
    if published is not None:
        for role, file in published.files.items():
            life = freshness if role == "timestamp" else metadata.ONLINE_FACTOR * freshness
            keys = tuple(file.signatures)
            yield Expiry(tenant=trust.tenant, fleet=fleet, role=role, expires=file.signed.expires, keys=keys, life=life)


def _is_of(approved: releases.Releases, tenant: str, fleet: str, key: Key) -> bool:
    with contextlib.suppress(OrdainError):
        releases.read(releases.delegating_to(key), tenant, fleet, approved.data, version=approved.version)
        return True
    return False


def _signed_by(data: bytes, keys: list[Key]) -> tuple[str, ...]:
    return tuple(key.keyid for key in keys if envelope.is_signed_by(data, key))


class KeyExpiryCollector(Collector):
    """Seconds until expiry by tenant and role, the earliest of a tenant's fleets; looked up in a thread of its own, now and then."""

    def __init__(self, store: Store, repository: Iterable[Key] = ()) -> None:
        """Begin the first look at once, so that the first scrape has something to say."""
        self._store = store
        self._repository = list(repository)
        self._found: list[Expiry] = []
        self._rest_until = 0.0
        self._looking = threading.Lock()
        self._look_if_due()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what was found last."""
        self._look_if_due()
        now, found = datetime.now(UTC), self._found
        left = GaugeMetricFamily("ordain_key_expiry_seconds", "Seconds until what a role signed expires", labels=["tenant", "role"])
        warned = GaugeMetricFamily(
            "ordain_key_expiry_warnings", "Signed files that somebody must see to", labels=["tenant", "role", "warning"]
        )
        for tenant, role in sorted({(one.tenant, one.role) for one in found}):
            concerned = [one for one in found if (one.tenant, one.role) == (tenant, role)]
            left.add_metric([tenant, role], min(one.left(now) for one in concerned))
            for warning in sorted({one.warning(now) for one in concerned} - {""}):
                warned.add_metric([tenant, role, warning], sum(one.warning(now) == warning for one in concerned))
        yield left
        yield warned

    def _look_if_due(self) -> None:
        if time.monotonic() >= self._rest_until and self._looking.acquire(blocking=False):
            threading.Thread(target=self._look, name="key-expiry", daemon=True).start()

    def _look(self) -> None:
        began = time.monotonic()
        try:
            with contextlib.suppress(OrdainError):
                self._found = gather(self._store, self._repository)
        finally:
            self._rest_until = time.monotonic() + max(REST, REST_FACTOR * (time.monotonic() - began))
            self._looking.release()
