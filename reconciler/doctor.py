"""What an operator should know of an installation before it matters: each check says what is so, and what to do.

Everything is looked at, and nothing changed, fetched or built. A check that can't be made is one that found something.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from agent.protocol.errors import OrdainError
from reconciler import key_status, status
from reconciler.opa.program import PINNED, present, version
from reconciler.pipeline import accepted, problem
from reconciler.pipeline.acceptance.corpus import read_file, repository_of
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document, Layout, is_signers, layout_of
from reconciler.pipeline.signatures.pinned import read_pinned
from reconciler.pipeline.signatures.signers import SignerSet, signer_set
from reconciler.pipeline.signatures.switch import is_required
from reconciler.pipeline.source import CommitTree, mirror_path, open_repository
from reconciler.publication.keys import REPOSITORY
from reconciler.settings import Settings

Level = Literal["ok", "warn", "bad"]
Look = Callable[[], Iterable["Check"]]
FREE_BYTES, FREE_SHARE = 1024**3, 0.05
"""Below either a disk is said to be nearly full: a fetch may bring a gigabyte, and file systems slow down at the end."""
SOON = timedelta(days=30)
"""How long before a signer's key ends it is said."""
PROGRAMS = {
    "ssh-keygen": "install OpenSSH 8.2 or later (openssh-client): it verifies commits that are signed by SSH keys",
    "gpg": "install GnuPG 2.2 or later: it verifies commits that are signed by OpenPGP keys",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: `warn` should be known, `bad` stops something now or has done so."""

    name: str
    level: Level
    says: str
    remedy: str = ""


def examine(settings: Settings | None, now: datetime) -> list[Check]:
    """Return what there is to know of this machine and, where there are settings, of the installation that they describe."""
    found = list(_opa(settings))
    if settings is None:
        return [*found, *_programs(frozenset())]
    judged = _accepted(settings)
    found += _tried("signatures", lambda: _signatures(settings, judged, now))
    found += _tried("keys", lambda: _keys(settings, now))
    found += _tried("installation", lambda: _standing(settings))
    return [*found, *_disks(settings)]


def _tried(name: str, look: Look) -> Iterable[Check]:
    try:
        return list(look())
    except OrdainError as error:
        return [Check(name=name, level="bad", says=str(error))]


def _opa(settings: Settings | None) -> Iterator[Check]:
    stated = Path(settings.policy.opa) if settings is not None and settings.policy.opa else None
    try:
        found = present(stated, environment=os.environ)
    except OrdainError as error:
        yield Check(name="OPA", level="bad", says=str(error))
        return
    if found is None:
        yield Check(
            name="OPA", level="warn", says=f"not here yet; {PINNED} is fetched or built when it is needed", remedy="ordain policy opa"
        )
    else:
        yield Check(name="OPA", level="ok", says=f"{version(found)} at {found}")


def _programs(needed: frozenset[str]) -> Iterator[Check]:
    for name, remedy in PROGRAMS.items():
        found = shutil.which(name)
        level: Level = "ok" if found else "bad" if name in needed else "warn"
        yield Check(name=name, level=level, says=found or "not on PATH", remedy="" if found else remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What the accepted state says of signatures; None for both where nothing was accepted, or it can't be seen from here."""

    repository: Document | None = None
    signers: tuple[Document, ...] = ()


def _accepted(settings: Settings) -> _Judged:
    ring, mirror = settings.ring("pipeline"), mirror_path(settings.state)
    try:
        stored = accepted.read(settings.open_store(), *ring.publics(REPOSITORY)) if ring.has(REPOSITORY) else None
        if stored is None or not mirror.is_dir():
            return _Judged()
        tree = CommitTree(open_repository(mirror), stored.state.tree)
        repository = repository_of(read_file(tree, REPOSITORY_FILE, Layout())) if REPOSITORY_FILE in tree.entries else None
        layout = layout_of(repository)
        files = [read_file(tree, path, layout) for path in tree.entries if is_signers(path, layout) and path.endswith((".yaml", ".yml"))]
    except OrdainError:  # said by the check of what stands
        return _Judged()
    return _Judged(repository=repository, signers=tuple(document for file in files for document in file.documents))


def _signatures(settings: Settings, judged: _Judged, now: datetime) -> Iterator[Check]:
    pinned = read_pinned(settings.signatures.signers)
    if judged.repository is None and not pinned:
        yield Check(name="signatures", level="warn", says="not known here: nothing is accepted yet, or its key is elsewhere")
        return
    if not pinned and not is_required(judged.repository):
        says = "off: whoever may push to the fleet repository may change everything, and loosen what judges"
        yield Check(name="signatures", level="warn", says=says, remedy="docs/signers.md tells how to turn them on")
        return
    signers = signer_set((*pinned, *judged.signers))
    owners = sum(one.owner for one in signers.principals.values())
    yield Check(name="signatures", level="ok", says=f"on, with {len(signers.principals)} signers, {owners} of them policy owners")
    if not pinned:
        says = "the first signers are those that the first import brought"
        yield Check(name="pinned signers", level="warn", says=says, remedy="name a file of signers in [signatures] signers")
    yield from _ending(signers, now)
    yield from _programs(frozenset({"ssh-keygen"} if signers.ssh else ()) | ({"gpg"} if signers.gpg else frozenset()))


def _ending(signers: SignerSet, now: datetime) -> Iterator[Check]:
    for one in signers.principals.values():
        ends = [key.end for key in one.credentials if key.end is not None and key.end - now < SOON]
        if ends:
            says = f"a key of {one.name} {'ended' if min(ends) <= now else 'ends'} at {min(ends):%Y-%m-%dT%H:%M:%SZ}"
            yield Check(name="signers", level="warn", says=says, remedy="add a new key to its manifest, or remove the old one")


def _keys(settings: Settings, now: datetime) -> Iterator[Check]:
    ring = settings.ring("pipeline")
    found = key_status.gather(settings.open_store(), ring.publics(REPOSITORY) if ring.has(REPOSITORY) else ())
    warned = [one for one in found if one.warning(now)]
    if not warned:
        yield Check(name="keys", level="ok", says=f"{len(found)} signed files, none of which ends soon")
    for one in warned:
        said = one.warning(now)
        of = "/".join(part for part in (one.tenant, one.fleet) if part) or "the pipeline"
        level: Level = "bad" if said in ("expired", "unreadable") else "warn"
        yield Check(name="keys", level=level, says=f"{one.role} of {of}: {said}", remedy="ordain keys status tells what to do")


def _standing(settings: Settings) -> Iterator[Check]:
    ring = settings.ring("pipeline")
    found = status.gather(settings.open_store(), ring, source=None, problem=problem.read(settings.state))
    if found["problem"]:
        yield Check(name="pipeline", level="bad", says=f"since {found['problem']['since']}: {found['problem']['why']}")
    elif found["refused"]:
        count = len(found["refused"])
        says = f"{count} file{' is' if count == 1 else 's are'} refused"
        yield Check(name="pipeline", level="warn", says=says, remedy="ordain status says which, and why")
    else:
        yield Check(name="pipeline", level="ok", says="nothing is refused, and no problem is known")
    for tenant in found["tenants"]:
        if tenant["development"]:
            says = f"tenant {tenant['name']} has them, and they are not for production"
            yield Check(name="development keys", level="warn", says=says, remedy="make real ones: ordain keys init --help")


def _disks(settings: Settings) -> Iterator[Check]:
    for name, path in (("state", settings.state), ("store", Path(settings.store_url))):
        if path.is_dir():
            usage = shutil.disk_usage(path)
            short = usage.free < FREE_BYTES or usage.free < FREE_SHARE * usage.total
            says = f"{usage.free / 1024**3:.1f} GiB free at {path}"
            yield Check(name=f"disk of {name}", level="warn" if short else "ok", says=says, remedy="free some space" if short else "")
