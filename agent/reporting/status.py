"""What is known of each fleet on this host: written when it changes, read by `ordain-agent status` without any lock."""

from pathlib import Path

import msgspec

from agent.apply.generations import Generations
from agent.disk import Disk, read_optional
from agent.health.seen import read_probes
from agent.logs import timestamp
from agent.protocol import codec, durable
from agent.protocol.report import Receipt
from agent.protocol.state import Struct
from agent.providers.account import Account
from agent.reporting.receipts import Result
from agent.reporting.spool import Spool


class Drift(Struct):
    """A managed path that is not as its generation says: what differs, and since when it has been seen (RFC 3339).

    `inside` are the first names that differ within an unpacked artifact. `owner` is the user that it belongs to now and `changed` when its
    content was written last, both as the file system has them: whoever wrote it may have set them. `contested` is whether it was put
    right so often that it is left as it is for a while.
    """

    path: str
    differs: list[str]
    expected: str
    actual: str
    since: str
    inside: list[str] = []
    owner: int | None = None
    changed: str = ""
    contested: bool = False


class FleetStatus(Struct):
    """What came of the newest news of one fleet. `digest` is the release that it is about, "" where it got no so far.

    `listed` is false once a release did not list this host: its paths are then free for another fleet.
    `unheard` is why there is no newer news, "" if there is: a server that is away, or that won't let this host hear, changes no
    result. What was heard last starts new things until `fresh_until` (RFC 3339).
    """

    result: Result
    why: str
    since: str
    digest: str = ""
    attempt: int = 0
    serial: int = 0
    listed: bool = True
    warnings: list[str] = []
    drift: list[Drift] = []
    unheard: str = ""
    unheard_since: str = ""
    fresh_until: str = ""


class Contact(Struct):
    """When the server last answered, RFC 3339."""

    at: str


class Trouble(Struct):
    """What is wrong on this host whatever its fleets ask for, each in one sentence."""

    problems: list[str]


class StatusBook:
    """The fleets' statuses on disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def _path(self, fleet: str) -> Path:
        return self._disk.fleet(fleet) / "status.json"

    def read(self, fleet: str) -> FleetStatus | None:
        """Return what is known of a fleet, None if nothing is."""
        return read_optional(self._path(fleet), FleetStatus)

    def write(self, fleet: str, status: FleetStatus) -> bool:
        """Keep a fleet's status if it says anything new, `since` as long as the result stays; return whether it did."""
        old = self.read(fleet)
        if old is not None and (old.result, old.why, old.digest) == (status.result, status.why, status.digest):
            status = msgspec.structs.replace(status, since=old.since)
        if old == status:
            return False
        durable.replace(self._path(fleet), codec.canonical(status), mode=0o600)
        return True

    def hear(self, fleet: str, *, unheard: str, fresh_until: str) -> bool:
        """Keep whether there was news of a fleet, and why not; `fresh_until` is "" if that is not known. Return whether it is new."""
        old = self.read(fleet)
        if old is None and not unheard:
            return False  # what the news is about comes with its outcome
        old = old or FleetStatus(result="waiting", why="nothing of it was ever verified here", since=timestamp())
        since = (old.unheard_since or timestamp()) if unheard else ""
        fresh = fresh_until or old.fresh_until
        return self.write(fleet, msgspec.structs.replace(old, unheard=unheard, unheard_since=since, fresh_until=fresh))

    def unlisted(self) -> frozenset[str]:
        """Return the fleets whose newest release did not list this host."""
        statuses = {fleet: self.read(fleet) for fleet in self._disk.known_fleets()}
        return frozenset(fleet for fleet, status in statuses.items() if status is not None and not status.listed)

    def trouble(self, problems: list[str]) -> list[str]:
        """Keep what is wrong on this host; return what of it is new."""
        old = read_optional(self._disk.trouble, Trouble)
        known = old.problems if old else []
        if known != problems:
            durable.replace(self._disk.trouble, codec.canonical(Trouble(problems=problems)), mode=0o600, lasting=False)
        return [problem for problem in problems if problem not in known]

    def contacted(self) -> None:
        """Note that the server answered now."""
        durable.replace(self._disk.contact, codec.canonical(Contact(at=timestamp())), mode=0o600, lasting=False)


def overview(disk: Disk) -> dict[str, object]:
    """Return what `ordain-agent status` shows, as plain values.

    Raises:
        InputError: no agent has run here.
    """
    identity = disk.read_identity()
    contact = read_optional(disk.contact, Contact)
    trouble = read_optional(disk.trouble, Trouble)
    last = Spool(disk=disk).read().last
    return {
        "agent": identity.agent,
        "tenant": identity.tenant,
        "server": identity.server,
        "root": identity.root,
        "lastContact": contact.at if contact else None,
        "pid": disk.holder("run"),
        "problems": trouble.problems if trouble else [],
        "fleets": [_fleet(disk, fleet, last.get(f"{identity.tenant}/{fleet}")) for fleet in disk.shown_fleets()],
    }


def _fleet(disk: Disk, fleet: str, last: Receipt | None) -> dict[str, object]:
    status = StatusBook(disk).read(fleet)
    generations = Generations(disk.fleet(fleet))
    meta = generations.current()
    hold = generations.hold()
    return {
        "fleet": fleet,
        "digest": meta.digest if meta else None,
        "members": meta.members if meta else None,
        "serial": status.serial if status else None,
        "group": meta.group if meta else None,
        "mode": meta.mode if meta else None,
        "attempt": meta.attempt if meta else None,
        "generation": meta.generation if meta else None,
        "commit": meta.commit if meta else None,
        "result": status.result if status else None,
        "why": status.why if status else "",
        "since": status.since if status else None,
        "desired": status.digest if status else None,
        "listed": status.listed if status else None,
        "unheard": status.unheard if status else "",
        "unheardSince": (status.unheard_since or None) if status else None,
        "freshUntil": (status.fresh_until or None) if status else None,
        "held": hold is not None,
        "warnings": list(status.warnings) if status else [],
        "drift": [msgspec.to_builtins(drift) for drift in status.drift] if status else [],
        "account": [
            {"resource": entry.resource, "why": entry.why, "at": entry.at, "outcome": entry.outcome, "said": entry.said}
            for entry in Account(disk.account(fleet)).read()
        ],
        "probes": [msgspec.to_builtins(probe) for probe in read_probes(disk, fleet)],
        "receipt": msgspec.to_builtins(last) if last else None,
    }
