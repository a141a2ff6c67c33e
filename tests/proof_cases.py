"""An installation whose reconciler has decided a few times and whose control zone has published, to be looked into and tampered with."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler import settings, wiring
from reconciler.control.numbering import floors_of
from reconciler.control.publish import Work, online_keys, publish_fleet
from reconciler.control.records import Floors
from reconciler.control.rollout.document import next_document
from reconciler.opa.program import find_opa
from reconciler.pipeline.loop import Progress, reconcile
from reconciler.pipeline.notes import NoteExporter
from reconciler.pipeline.session import Parts, Session, resume
from reconciler.pipeline.source import Mirror, mirror_path
from reconciler.publication.published import read_published
from reconciler.publication.releases import read_newest
from reconciler.publication.store import open_store
from reconciler.publication.trust import read_trust
from tests.acceptance_cases import REPOSITORY, agent, component, repository
from tests.signing_cases import REQUIRED, Person, owner, with_ssh
from tests.source_cases import WorkingCopy

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
MOTD = "tenants/shop/components/motd.yaml"


@dataclass(slots=True)
class Made:
    """An installation: its fleet repository and its state directory; decisions are made at times that stand still."""

    copy: WorkingCopy
    state: Path
    parts: Parts
    session: Session
    now: datetime = BEGIN

    def decide(self, message: str, files: dict[str, str | None]) -> str:
        """Commit, have it decided an hour later, and publish; return the commit."""
        head = self.copy.commit(message, files)
        self.follow()
        return head

    def follow(self) -> None:
        """Have what is committed decided an hour later, and publish."""
        self.now += timedelta(hours=1)
        reconcile(self.parts, self.session, Progress())
        for tenant, fleet in self.session.corpus.world.fleets():
            self._publish(tenant, fleet)

    def _publish(self, tenant: str, fleet: str) -> None:
        store, trust = self.parts.store, read_trust(self.parts.store, tenant)
        listed = read_newest(store, trust, fleet) if trust is not None else None
        if trust is None or listed is None or listed.desired is None:
            return
        keys = online_keys(settings.Settings(state=self.state).ring("control"), trust)
        work = Work(store=store, trust=trust, keys=keys, fleet=fleet, freshness=timedelta(hours=24), now=self.now)
        standing = read_published(store, tenant, fleet)
        floors = floors_of(standing, Floors())
        before = standing.document if standing else None
        document = next_document(before, listed.desired, fleet=work.name, epoch=1, now=self.now, serial_floor=floors.serial)
        stored = standing.stored if standing else None
        publish_fleet(work, releases=listed, document=document, standing=standing, floors=floors, stored=stored)


def begin(directory: Path, copy: WorkingCopy | None = None) -> Made:
    """Return an installation that has decided nothing yet, of a repository that is there or of a new one."""
    copy = copy or WorkingCopy.make(directory / "fleets")
    loaded = settings.Settings(state=directory / "state", source=settings.SourceSettings(repository=str(copy.path)))
    loaded.state.mkdir()
    mirror = Mirror(mirror_path(loaded.state), str(copy.path))
    made: list[Made] = []
    parts = Parts(
        state=loaded.state,
        store=open_store(loaded.store_url),
        ring=loaded.ring("pipeline"),
        mirror=mirror,
        opa=find_opa(None),
        notes=NoteExporter(mirror, loaded.state),
        make_keys=wiring.development(loaded),
        now=lambda: made[0].now,
    )
    made.append(Made(copy=copy, state=loaded.state, parts=parts, session=Session()))
    made[0].session = resume(parts)
    return made[0]


def decided(directory: Path) -> Made:
    """Return an installation with four decisions: a first one, one that refuses a file, a mended one, and one of members alone."""
    made = begin(directory)
    made.decide("Begin", dict(repository()))
    made.decide("Everybody may write, and a new backup", {MOTD: component("motd", "/etc/motd", mode="0666"), **BACKUP})
    made.decide("Nobody else may write", {MOTD: component("motd", "/etc/motd", "welcome")})
    made.decide("One host more", {"tenants/shop/agents/web-03.yaml": agent("web-03", role="web")})
    made.session.close()
    return made


def eventful(directory: Path) -> Made:
    """Return an installation where rules, signers, time and a restart decided too, and a fleet is deleted."""
    made, ana = begin(directory), with_ssh("ana", directory)
    made.decide("Begin, with rules of its own", {**repository(), "ordain.yaml": REPOSITORY + LOOSE})
    made.decide("Everybody may write", {MOTD: component("motd", "/etc/motd", mode="0666")})
    _signed(made, ana, "Tighter rules, and signatures", {"ordain.yaml": REQUIRED, "signers/ana.yaml": owner(ana)})
    made.decide("Nobody signed this", {"tenants/shop/components/backup.yaml": component("backup", "/etc/backup.conf", "unsigned")})
    _signed(made, ana, "Let it be, for a day", {"tenants/shop/waivers/motd.yaml": WAIVER})
    made.session.close()
    made.session = resume(made.parts)
    _signed(made, ana, "Still writable", {MOTD: component("motd", "/etc/motd", "hello again", mode="0666")})
    made.now += timedelta(days=2)
    made.decide("Unsigned, and the waiver has ended", {"README.md": "fleets"})
    _signed(made, ana, "A fleet less", {"tenants/shop/fleets/db.yaml": None})
    made.session.close()
    return made


def _signed(made: Made, person: Person, message: str, files: dict[str, str | None]) -> None:
    person.commit(made.copy, message, files)
    made.follow()


LOOSE = "  rules: {host-safety/world-writable: {level: warn}}\n"
WAIVER = """\
apiVersion: ordain.dev/v1
kind: Waiver
metadata: {name: motd, tenant: shop}
spec:
  rule: host-safety/world-writable
  object: {kind: Component, name: motd}
  at: "files[/etc/motd].mode"
  value: "0666"
  reason: the tests want it so
  owner: ana@example.com
  expires: 2026-11-23
"""
BACKUP = {"tenants/shop/components/backup.yaml": component("backup", "/etc/backup.conf", "nightly")}


@dataclass(frozen=True, slots=True)
class Copy:
    """What an auditor was handed: a clone with notes, a copy of the store, and the pipeline's public keys."""

    repo: Path
    store: Path
    keys: Path

    @property
    def options(self) -> list[str]:
        """How commands are told of it."""
        return ["--repo", str(self.repo), "--store", str(self.store), "--keys", str(self.keys)]


def handed_over(made: Made, directory: Path) -> Copy:
    """Copy an installation's evidence to a directory of its own."""
    repo, store, keys = directory / "clone", directory / "store", directory / "public.json"
    shutil.copytree(made.copy.path, repo)
    shutil.copytree(made.state / "store", store)
    shutil.copy(made.state / "keys" / "pipeline" / "public.json", keys)
    return Copy(repo, store, keys)
