"""What whoever runs a host should know of it before it matters. Everything is looked at, and nothing changed."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.apply import journal
from agent.disk import Disk
from agent.fetching.fetcher import Http
from agent.following.follow import hinted_fleets
from agent.host import Host
from agent.joining.authority import ask_authority
from agent.joining.clocks import clock_hint
from agent.joining.renew import tls_of
from agent.operations.leave import read_left
from agent.operations.starting import settings_as_before
from agent.owner.allow import read_allow
from agent.protocol.errors import OrdainError
from agent.reporting.status import StatusBook
from agent.settings import read_downloads

Level = Literal["ok", "warn", "bad"]
FREE_BYTES, FREE_SHARE = 512 * 1024**2, 0.05
"""Below either a disk is said to be nearly full: a release is staged whole beside what runs."""
CLOCK_SECONDS = 300
"""How far the clock may be before the newest file that the agent wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: `warn` should be known, `bad` stops something now."""

    name: str
    level: Level
    says: str
    remedy: str = ""


def examine(disk: Disk, supported: frozenset[str]) -> list[Finding]:
    """Return what there is to know of this host; `supported` are the providers that the agent can carry out here.

    Raises:
        InputError: no agent has run with this state directory.
    """
    identity = disk.read_identity()
    root, config = Path(identity.root), Path(identity.config)
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("agent.toml", lambda: _owner(config)),
        ("enrolment", lambda: _membership(disk)),
        ("server", lambda: _server(disk)),
        ("state", lambda: _state(disk, root)),
        ("fleets", lambda: _fleets(disk)),
        ("rights", lambda: _rights(root, supported)),
        ("disks", lambda: _disks(disk, root)),
        ("clock", lambda: _clock(disk)),
    ]
    return [finding for name, look in looks for finding in _tried(name, look)]


def _tried(name: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except (OrdainError, OSError) as error:
        return [Finding(name=name, level="bad", says=str(error))]


def _owner(config: Path) -> Iterator[Finding]:
    allow = read_allow(config)
    read_downloads(config)
    if not config.exists():
        yield Finding(name="agent.toml", level="warn", says=f"there is no {config}: releases may do everything here but reboot")
        return
    mode = config.stat()
    if mode.st_uid != os.geteuid() or mode.st_mode & 0o022:
        remedy = f"chown root {config} && chmod 644 {config}"
        yield Finding(name="agent.toml", level="bad", says=f"others than the agent's user may write {config}", remedy=remedy)
        return
    limited = [name for name in ("providers", "paths", "commands", "users", "packages") if getattr(allow, name) is not None]
    yield Finding(name="agent.toml", level="ok", says=f"{config} limits {', '.join(limited) or 'nothing'}")


def _server(disk: Disk) -> Iterator[Finding]:
    settings, enrolled = settings_as_before(disk)
    http = Http(None if enrolled is None else tls_of(enrolled))
    began = time.monotonic()
    fleets = hinted_fleets(settings, http, disk)
    took = (time.monotonic() - began) * 1000
    yield Finding(name="server", level="ok", says=f"{settings.server} answers in {took:.0f} ms and names {', '.join(fleets) or 'no fleet'}")


def _membership(disk: Disk) -> Iterator[Finding]:
    """Look at who this host is to its server, at what the owner lets that server end, and at the server's clock."""
    _, enrolled = settings_as_before(disk)
    left = read_left(disk)
    if left is not None:
        says = f"this host was let go at {left.at}, what releases brought was {left.done}: {left.why}"
        yield Finding(name="enrolment", level="bad", says=says, remedy="ordain-agent enroll, if it is to be managed again")
    if enrolled is None:
        says = "this host is not enrolled: it reads signed files, shows nobody who it is, and reports nothing"
        yield Finding(name="enrolment", level="ok", says=says)
        return
    now, name = datetime.now(UTC), f"{enrolled.enrolment.tenant}/{enrolled.enrolment.agent}"
    until = f"{enrolled.ends:%Y-%m-%dT%H:%M:%SZ}"
    if enrolled.begins <= now < enrolled.ends:
        yield Finding(name="enrolment", level="ok", says=f"{name}, by a certificate until {until}")
    else:
        says = f"{name}, by a certificate from {enrolled.begins:%Y-%m-%dT%H:%M:%SZ} until {until}, which is not now by this host's clock"
        yield Finding(name="enrolment", level="bad", says=says, remedy="set the clock; else a running agent renews it by its old key")
    hint = clock_hint(ask_authority(enrolled.enrolment.server).server_time)
    if hint:
        yield Finding(name="clock", level="bad", says=hint)


def _state(disk: Disk, root: Path) -> Iterator[Finding]:
    if disk.root.stat().st_mode & 0o077:
        yield Finding(name="state", level="bad", says=f"others may read {disk.root}", remedy=f"chmod 700 {disk.root}")
        return
    begun = journal.read(disk.journal)
    if begun is not None:
        says = f"a change of {begun.fleet} was interrupted"
        yield Finding(name="state", level="warn", says=says, remedy="start the agent, or `ordain-agent recover`")
    else:
        yield Finding(name="state", level="ok", says=f"{disk.root} holds {len(disk.known_fleets())} fleet(s) below {Host(root).root}")


def _fleets(disk: Disk) -> Iterator[Finding]:
    book = StatusBook(disk)
    for fleet in disk.shown_fleets():
        status = book.read(fleet)
        if status is None:
            continue
        level: Level = "bad" if status.result in ("failed", "refused") else "warn" if status.drift or status.unheard else "ok"
        drift = f"; {len(status.drift)} not as the release says" if status.drift else ""
        why = status.why or status.unheard
        yield Finding(name=f"fleet {fleet}", level=level, says=f"{status.result}{': ' + why if why else ''}{drift}")


def _rights(root: Path, supported: frozenset[str]) -> Iterator[Finding]:
    if os.geteuid() != 0:
        says = "the agent is not root: owners, users, packages, services and kernel settings can't be set"
        yield Finding(name="rights", level="ok" if root != Path("/") else "warn", says=says)
    yield Finding(name="providers", level="ok", says=f"this host can be held to files, artifacts, {', '.join(sorted(supported))}")


def _disks(disk: Disk, root: Path) -> Iterator[Finding]:
    known = set[int]()
    for place in (disk.root, root, root / "etc", root / "opt", root / "var"):
        if not place.is_dir() or place.stat().st_dev in known:
            continue
        known.add(place.stat().st_dev)
        if os.statvfs(place).f_flag & os.ST_RDONLY:
            yield Finding(name="disks", level="bad", says=f"{place} is read-only", remedy="mount it for writing")
            continue
        usage = shutil.disk_usage(place)
        short = usage.free < FREE_BYTES or usage.free < FREE_SHARE * usage.total
        yield Finding(name="disks", level="warn" if short else "ok", says=f"{place} has {usage.free / 1024**3:.1f} GiB free")


def _clock(disk: Disk) -> Iterator[Finding]:
    newest = max((path.stat().st_mtime for path in disk.root.iterdir()), default=0.0)
    behind = newest - time.time()
    if behind > CLOCK_SECONDS:
        says = f"the clock is {behind / 60:.0f} minutes before what the agent wrote last"
        yield Finding(name="clock", level="bad", says=says, remedy="set the clock: nothing is believed to be fresh by a wrong one")
    else:
        yield Finding(name="clock", level="ok", says="the clock is not behind what the agent wrote")
