"""A tenant whose zones keep their keys apart, rotations of them as people type them, and the zones at work meanwhile."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result
from securesystemslib.signer import Signer

from reconciler.cli.keys import keys
from reconciler.control.loop import ControlSettings, run
from reconciler.pipeline.approve import renew_releases, write_controls
from reconciler.pipeline.signing import releases_signing
from reconciler.publication import controls, layout
from reconciler.publication.ceremony import Rings
from reconciler.publication.controls import Controls
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import CONTROL_PREFIXES, LocalStore, Scoped
from tests.publication_cases import FRESHNESS, Zone, now

PATIENCE = 20.0


def typed(*words: object) -> str:
    """Type `ordain keys …`; return what it prints. It must succeed."""
    done = refused(*words)
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.stdout


def refused(*words: object) -> Result:
    """Type `ordain keys …`, whatever comes of it."""
    return CliRunner().invoke(keys, [str(word) for word in words], catch_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Three directories of keys and a store between them, below `directory`."""

    directory: Path
    tenants: tuple[str, ...] = ("shop",)

    @property
    def store(self) -> LocalStore:
        """The store."""
        return LocalStore(self.directory / "store")

    def ring(self, zone: str) -> KeyRing:
        """The keys of a zone."""
        return KeyRing(zone=zone, directory=self.directory / zone)  # type: ignore[arg-type]

    def zone(self, tenant: str = "shop") -> Zone:
        """Both online zones at work for one tenant."""
        return Zone(store=self.store, rings=Rings(pipeline=self.ring("pipeline"), control=self.ring("control")), tenant=tenant)

    def found(self) -> None:
        """Hold the first ceremony."""
        for zone in ("pipeline", "control"):
            self.make(zone)
        imports = ("--import", self.directory / "pipeline.json", "--import", self.directory / "control.json")
        typed("init", "--zone", "offline", *self.named, "--keys", self.directory / "offline", *imports, "--store", self.store.root)

    def make(self, zone: str, *following: str) -> None:
        """Make the keys of a zone that are missing, and those to rotate to; its public keys are then beside its directory."""
        nexts = [word for role in following for word in ("--next", role)]
        named = () if zone == "offline" else self.named
        typed("init", "--zone", zone, *named, "--keys", self.directory / zone, *nexts, "--out", self.directory / f"{zone}.json")

    def rotate(self, *roles: str, zones: Sequence[str], more: Sequence[str] = ()) -> str:
        """Ask for other keys, have that signed offline and taken over; return what the people offline see."""
        imports = [word for zone in zones for word in ("--import", self.directory / f"{zone}.json")]
        request, signed = self.directory / "request.json", self.directory / "signed.json"
        typed("rotate", *roles, *self.named, "--store", self.store.root, *imports, "--out", request, *more)
        shown = typed("sign", request, "--keys", self.directory / "offline", "--out", signed)
        typed("import", signed, "--store", self.store.root)
        return shown

    def retire(self, zone: str) -> str:
        """Destroy the keys of a zone that were rotated."""
        return typed("retire", "--zone", zone, *self.named, "--keys", self.directory / zone, "--store", self.store.root)

    @property
    def named(self) -> list[str]:
        """The tenants as options."""
        return [word for tenant in self.tenants for word in ("--tenant", tenant)]

    def signer(self, role: str) -> Signer:
        """The key that signs for a tenant's role now, by the newest of the two that the ring may have."""
        return self.ring("pipeline" if role.endswith("releases") else "control").signers(role)[0]

    def renew(self, *fleets: str) -> None:
        """Sign what another key signed again, as `reconcile` does for every fleet that it knows, frozen ones too."""
        signing = releases_signing(self.store, self.ring("pipeline"), "shop")
        for fleet in fleets:
            seconds = int(FRESHNESS.total_seconds())
            renew_releases(
                self.store, signing.signer, tenant="shop", fleet=fleet, freshness_seconds=seconds, now=now(), known=signing.known
            )
        standing = controls.read(self.store.get(layout.controls("shop")) or b"", signing.known, tenant="shop")
        write_controls(self.store, signing.signer, standing, now=now(), known=signing.known)

    def controls(self, *fleets: str, frozen: Sequence[str] = ()) -> Controls:
        """Write the first controls of these fleets."""
        signing = releases_signing(self.store, self.ring("pipeline"), "shop")
        seconds = int(FRESHNESS.total_seconds())
        wanted = {fleet: controls.Fleet(freshness=seconds, state="frozen" if fleet in frozen else "ok") for fleet in fleets}
        return write_controls(self.store, signing.signer, Controls(tenant="shop", fleets=wanted), now=now(), known=signing.known)

    @contextmanager
    def serving(self) -> Iterator[threading.Event]:
        """Publish, as `ordain serve` does, while the context lasts; yield what says that a whole pass was done."""
        stop, passed = threading.Event(), threading.Event()
        store = Scoped(inner=self.store, write=CONTROL_PREFIXES)
        settings = ControlSettings(store=store, keys=self.ring("control"), holder="one", poll=0.1)
        thread = threading.Thread(target=run, args=(settings, stop), kwargs={"ready": passed.set})
        thread.start()
        try:
            yield passed
        finally:
            stop.set()
            thread.join()

    def publish(self) -> None:
        """Let `serve` look at everything once."""
        with self.serving() as passed:
            assert passed.wait(PATIENCE)
