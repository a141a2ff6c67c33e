"""What `serve` remembers about each fleet and tenant, for people and for the day when `public/` is lost.

Not an authority: what is published counts. Numbers kept here are a floor under what is published next, so that a repository that was
restored from an old backup goes on above what agents have seen.
"""

from typing import Literal

import msgspec

from agent.protocol import codec
from agent.protocol.errors import MalformedError, RetryError
from agent.protocol.rollout import Release, RolloutDocument
from agent.protocol.state import Struct
from reconciler.publication import layout
from reconciler.publication.releases import Releases
from reconciler.publication.store import Store

FORMAT = 1
RESTORED_JUMP = 1_000_000
"""How far numbers jump when less is published than was recorded: past all that the lost part may have shown to agents."""


class Floors(Struct):
    """The highest numbers that were published for a fleet."""

    timestamp: int = 0
    snapshot: int = 0
    rollouts: int = 0
    serial: int = 0
    epoch: int = 0


State = Literal["published", "rolling out", "paused", "stopped", "waiting", "error"]


class Rolled(Struct):
    """How a fleet's rollout stands: `digest` and `members` of the newest release, which it is about, `wave` the last that was admitted.

    `waits` is what it waits for, in words; `since` is when that changed. `returns` are the releases that hosts run or may go back to:
    `reconcile` keeps those listed (`publication.returns`).
    """

    phase: str
    digest: str
    members: int
    wave: str = ""
    number: int = 0
    waves: int = 0
    since: str = ""
    waits: list[str] = []
    returns: list[Release] = []

    @property
    def state(self) -> State:
        """The state of a fleet whose rollout stands so."""
        return _STATES[self.phase]

    @property
    def why(self) -> str:
        """Where it is and what it waits for, in a line; "" where nothing is on its way."""
        none = "no wave admitted yet" if self.waits and self.phase in ("waiting", "applying") else ""
        where = f"wave {self.wave} ({self.number} of {self.waves})" if self.wave else none
        return ": ".join(part for part in (where, "; ".join(self.waits)) if part)


_STATES: dict[str, State] = {
    "settled": "published",
    "waiting": "rolling out",
    "applying": "rolling out",
    "paused": "paused",
    "stopped": "stopped",
}


class Status(Struct):
    """`records/<tenant>/<fleet>/status.json`: how publication of a fleet stands, and why it stands still.

    `digest` and `members` are of the stable release. In state `error` everything but `why` still says what stands published.
    """

    format: int
    tenant: str
    fleet: str
    state: State
    why: str = ""
    digest: str = ""
    members: int = 0
    commit: str = ""
    releases: int = 0
    serial: int = 0
    published_at: str = ""
    floors: Floors = Floors()
    rollout: Rolled | None = None


class TenantStatus(Struct):
    """`records/<tenant>/_status.json`: whether a tenant can be published, and the last controls that were taken."""

    format: int
    tenant: str
    state: Literal["ok", "waiting", "error"]
    why: str = ""
    controls: int = 0


def read_status(store: Store, tenant: str, fleet: str) -> Status | None:
    """Return what is recorded about a fleet, None if nothing is or it can't be read."""
    data = store.get(layout.record(tenant, fleet, "status.json"))
    try:
        return codec.decode(data, Status, what=f"status of {tenant}/{fleet}") if data else None
    except MalformedError:
        return None


def published(
    tenant: str, fleet: str, releases: Releases, document: RolloutDocument, floors: Floors, *, rollout: Rolled | None = None
) -> Status:
    """Return the status of a fleet whose releases are published under this rollout document; `rollout` is how that stands."""
    return Status(
        format=FORMAT,
        tenant=tenant,
        fleet=fleet,
        state=rollout.state if rollout else "published",
        why=rollout.why if rollout else "",
        rollout=rollout,
        digest=document.stable.digest if document.stable else "",
        members=document.stable.members if document.stable else 0,
        commit=releases.bundle[1].commit if releases.bundle else "",
        releases=releases.version,
        serial=document.serial,
        published_at=document.not_before,
        floors=floors,
    )


def stopped(recorded: Status | None, tenant: str, fleet: str, state: Literal["waiting", "error"], why: str) -> Status:
    """Return the status of a fleet that could not be published; what is recorded about what stands is kept."""
    if recorded is None:
        return Status(format=FORMAT, tenant=tenant, fleet=fleet, state=state, why=why)
    return msgspec.structs.replace(recorded, state=state, why=why)


def read_tenant_status(store: Store, tenant: str) -> TenantStatus | None:
    """Return what is recorded about a tenant, None if nothing is or it can't be read."""
    data = store.get(layout.tenant_record(tenant))
    try:
        return codec.decode(data, TenantStatus, what=f"status of {tenant}") if data else None
    except MalformedError:
        return None


def write_status(store: Store, status: Status) -> None:
    """Record how a fleet stands, if that is news."""
    _write(store, layout.record(status.tenant, status.fleet, "status.json"), codec.canonical(status))


def write_tenant_status(store: Store, status: TenantStatus) -> None:
    """Record how a tenant stands, if that is news."""
    _write(store, layout.tenant_record(status.tenant), codec.canonical(status))


def _write(store: Store, key: str, data: bytes) -> None:
    found = store.get_versioned(key)
    if found and found[0] == data:
        return
    if not store.replace(key, data, found[1] if found else None):
        message = f"{key}: somebody else wrote it; is a second `ordain serve` at work on this store?"
        raise RetryError(message)
