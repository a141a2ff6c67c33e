"""Controls: what the control zone must know from git, signed by the pipeline, one file a tenant.

Never in a bundle: none of it reaches a host. Percentages and other non-integers stay the strings of the manifests.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from securesystemslib.signer import Key, Signer

from agent.protocol import codec
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct
from reconciler.publication import envelope
from reconciler.publication.times import instant, stamp

FORMAT = 1
PAYLOAD_TYPE = "application/vnd.ordain.controls+json"
LIFE = timedelta(days=60)
"""As long as releases live: a pipeline that rests for longer holds both up."""


class Platform(Struct):
    """An issuer of OIDC tokens whose word lets a host enrol: `claims` are claim → the values that are accepted, all must fit.

    A value may end with `*`. `agent_claim` names the claim that must be the agent's name, where one must.
    """

    issuer: str
    audience: str
    claims: dict[str, list[str]] = {}
    agent_claim: str = ""


class Window(Struct):
    """When agents may report details: a cron line, `duration` in seconds, a time zone."""

    cron: str
    duration: int
    time_zone: str = "UTC"


class Reporting(Struct):
    """How often agents report, and when one counts as lost, in seconds.

    `tolerance` is how many times an agent may be lost within an hour before that counts as flapping; `windows` is when batches with
    more than a heartbeat are sent, any time where empty; `bytes_per_day` bounds them, 0 is without a bound.
    """

    every: int = 60
    lost_after: int = 300
    tolerance: int = 3
    windows: list[Window] = []
    bytes_per_day: int = 0


class Agent(Struct):
    """A named host: its labels, and the fleets that it is in, by their own names.

    `reimage` lets its name enrol again while it is enrolled. `relay` are fleets whose repositories it may read for others,
    `relay_names` the host names and addresses by which those others reach it.
    """

    labels: dict[str, str] = {}
    fleets: list[str] = []
    reimage: bool = False
    relay: list[str] = []
    relay_names: list[str] = []
    platforms: list[Platform] = []
    reporting: Reporting | None = None


class Pool(Struct):
    """An agent pool: `lease` in seconds, `maximum` how many hosts it may have."""

    labels: dict[str, str] = {}
    lease: int = 0
    maximum: int = 0
    fleets: list[str] = []
    platforms: list[Platform] = []
    reporting: Reporting | None = None


class Mode(Struct):
    """A mode that may be switched on, for `at_most` seconds."""

    name: str
    at_most: int


class Fleet(Struct):
    """How one fleet is rolled out, and how it stands: `freshness` in seconds, `since` RFC 3339 in UTC.

    `coming` says that this decision brings the fleet another release, which is approved after these controls were written: until one of
    this decision or a later one is there, nothing of it goes forward.
    `commit` is the head at which it came to `state`, where that is not `ok`: the one that was refused.
    """

    freshness: int
    drift: Literal["enforce", "report"] = "enforce"
    rollout: dict[str, Any] = {}
    modes: list[Mode] = []
    objectives: dict[str, Any] = {}
    state: Literal["ok", "frozen", "waiting"] = "ok"
    why: str = ""
    since: str = ""
    coming: bool = False
    commit: str = ""


class Quotas(Struct):
    """What a tenant may use at most; 0 is without a bound. `report_rate` is in requests a second, `bundle_bytes` of one bundle."""

    agents: int = 0
    fleets: int = 0
    report_rate: int = 0
    bundle_bytes: int = 0


class Retention(Struct):
    """For how many seconds the registry keeps each kind; 0 is for the installation's default."""

    receipts: int = 0
    events: int = 0
    audit: int = 0


class Role(Struct):
    """Who may do what in the tenant: `role` is one of the built-in ones, `subjects` are operators and groups.

    A subject is `operator:<name>`, `oidc:<issuer>#<subject or e-mail>` or `group:<issuer>#<group>`;
    `fleets` narrows it to some, empty is all. From `until` (RFC 3339 in UTC) on it counts for nothing; empty: it does not end.
    """

    name: str
    role: Literal["viewer", "operator", "approver", "policy-owner", "tenant-admin", "admin"]
    subjects: list[str]
    fleets: list[str] = []
    until: str = ""


class Controls(Struct):
    """`approved/<tenant>/controls.json`; `head` and `decision` are those that last changed it, `fleets` by their own names.

    `trust_domain` is empty for the installation's own. `authz` is the digest of the repository's own rules about operators and
    enrolment (`layout.authz`), empty where there are none.
    """

    tenant: str
    format: int | None = None  # `write_controls` sets it; without this default it would be left out of the file
    sequence: int = 0
    expires: str = ""
    head: str = ""
    decision: int = 0
    agents: dict[str, Agent] = {}
    pools: dict[str, Pool] = {}
    fleets: dict[str, Fleet] = {}
    freezes: list[dict[str, Any]] = []
    quotas: Quotas = Quotas()
    reporting: Reporting = Reporting()
    retention: Retention = Retention()
    trust_domain: str = ""
    roles: list[Role] = []
    authz: str = ""


def write(controls: Controls, signer: Signer) -> bytes:
    """Return the signed file of controls; `signer` is the tenant's releases key."""
    return envelope.sign(codec.canonical(controls), PAYLOAD_TYPE, [signer])


def read(data: bytes, keys: Sequence[Key], *, tenant: str) -> Controls:
    """Verify and read a tenant's controls; their expiry is not looked at.

    Raises:
        MalformedError: not controls, or another tenant's.
        RefusedError: not signed by any of `keys`.
    """
    what = f"controls of {tenant}"
    payload = envelope.verify(data, PAYLOAD_TYPE, keys, what=what)
    controls = codec.decode(payload, Controls, what=what, limit=envelope.ENVELOPE_LIMIT)
    if controls.format != FORMAT or controls.tenant != tenant:
        message = f"{what}: they are of {controls.tenant}, format {controls.format}"
        raise MalformedError(message)
    return controls


def same(one: Controls, other: Controls) -> bool:
    """Return whether two controls say the same, whenever and for whichever commit they were signed."""
    return _substance(one) == _substance(other)


def announcing(controls: Controls, fleets: Collection[str]) -> Controls:
    """Return controls that say of these fleets, and of no others, that a release of them is coming."""
    marked = {name: msgspec.structs.replace(fleet, coming=name in fleets) for name, fleet in controls.fleets.items()}
    return msgspec.structs.replace(controls, fleets=marked)


def expiry(now: datetime) -> str:
    """Return until when controls that are signed now are valid."""
    return stamp(now + LIFE)


def half_over(controls: Controls, now: datetime) -> bool:
    """Return whether it is time to sign controls again."""
    return instant(controls.expires, what=f"controls of {controls.tenant}") - now < LIFE / 2


def is_expired(controls: Controls, now: datetime) -> bool:
    """Return whether controls are too old to act on."""
    return instant(controls.expires, what=f"controls of {controls.tenant}") <= now


def _substance(controls: Controls) -> Controls:
    return msgspec.structs.replace(controls, format=FORMAT, sequence=0, expires="", head="", decision=0)
