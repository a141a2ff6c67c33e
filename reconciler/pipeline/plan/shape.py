"""A plan as plain values: what `ordain plan --format json` prints, and what all its other forms are made of.

The same fields whatever was found. Lists that may be long hold as much as people read, and `more` counts what was left out,
so that no plan grows with the fleet. Times are RFC 3339 in UTC, lengths of time whole seconds, shares percentages (0 to 100).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

FORMAT = 1
"""Of this shape; raised when a field changes its meaning or goes away."""

Kind = Literal["created", "changed", "members", "settings", "held", "deleted"]
"""`members`: nothing but who is in the fleet differs. `settings`: nothing reaches a host now, later releases go by other settings.
`held`: nothing about it differs that can be read, and a refused file holds it up.
"""
Change = Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Some hosts: `count` of all of them (a pool counts as its maximum), the first names, and how many names are left out."""

    count: int = 0
    names: tuple[str, ...] = ()
    """Agents by name; a pool as `<pool>/*`."""
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing on a host that differs: a file, an artifact, a process, whatever a state holds.

    `field` is the list of the state that it stands in (`files`), `name` its path or name there. `mode` is the mode in which it
    differs, empty where it does as a rule. `lines` are those of a unified diff, without a header; of anything but a file
    they compare fields as YAML. `withheld` says why lines are not shown; `more` counts lines left out for their number.
    """

    field: str
    name: str
    change: Change
    mode: str = ""
    added: int = 0
    removed: int = 0
    lines: tuple[str, ...] = ()
    more: int = 0
    withheld: str = ""
    effects: tuple[str, ...] = ()
    """What it sets off beside itself, in words: `restarts process otelcol`."""
    restored: bool = True
    """Whether a rollback restores what was before; it can't of packages, users and whatever else is changed in place."""
    alike: bool = True
    """False where what stands around the changed lines differs from host to host: then it is shown as the first has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs alike on all of these hosts."""

    hosts: Hosts
    items: tuple[Item, ...]
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """One predicted step of a rollout.

    `hosts` are those that the candidate newly reaches, `hit` how many of them get another state by it, `total` how many
    have the candidate once the wave is done. `implied` is the last step of a strategy that ends before everybody is reached:
    all the rest, at once.
    """

    name: str
    hosts: Hosts
    hit: int
    total: int
    limit: str = ""
    selector: dict[str, str] = field(default_factory=dict)
    soak: int = 0
    approval: bool = False
    earliest: str = ""
    waits_for: str = ""
    """What keeps it from starting sooner: `soak`, `window`, `freeze NAME`; empty where nothing does."""
    implied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unserved:
    """An artifact without a file for a platform that hosts have which it reaches."""

    artifact: str
    platform: str
    hosts: Hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """How many agents run a version of ordain-agent."""

    version: str
    agents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a server knows now of the hosts that a change reaches, as they said: `known` of them are enrolled.

    `unknown` are agents of git that never enrolled. Of `unasked` hosts, which were too many, what needs a question each is not known:
    `held`, `drifted`, `failing` and `unserved`.
    """

    known: int
    unknown: Hosts = Hosts()
    offline: Hosts = Hosts()
    quarantined: Hosts = Hosts()
    held: Hosts = Hosts()
    drifted: Hosts = Hosts()
    failing: Hosts = Hosts()
    """Those on which the newest release was refused, failed or was taken back."""
    unserved: tuple[Unserved, ...] = ()
    versions: tuple[Versions, ...] = ()
    unasked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What the change does to one fleet, `<tenant>/<name>`.

    `hit` are hosts that would run another state than now, `joining` and `leaving` those that get into the fleet and out of it;
    `share` is that of `hit` among all `members`. `held` says why it would stay at its last release; empty where it would not.
    `uncompiled` says why there is no difference to show. `notes` are sentences on what the change means for hosts.
    """

    fleet: str
    kind: Kind
    file: str
    members: int
    hit: Hosts
    share: float
    joining: Hosts = Hosts()
    leaving: Hosts = Hosts()
    before: str | None = None
    """Digest of the bundle before; None where there was no release."""
    after: str | None = None
    differences: tuple[Difference, ...] = ()
    more: int = 0
    waves: tuple[Wave, ...] = ()
    at_once: bool = False
    """Whether it becomes stable without waves: nobody who was there is moved to another state."""
    held: str = ""
    uncompiled: str = ""
    notes: tuple[str, ...] = ()
    live: Live | None = None
    """Where a server was asked: what is so at the moment, and no part of what is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A host that leaves fleets and gets into others; fleets by their own names."""

    tenant: str
    host: str
    left: tuple[str, ...]
    joined: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """A manifest that was added, changed or removed."""

    kind: str
    tenant: str
    name: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """The manifests that differ."""

    added: tuple[Object, ...] = ()
    changed: tuple[Object, ...] = ()
    removed: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Findings about what the change touches. Each is as in `ordain check --format json`, with `blocking` and `fingerprint`.

    `gone` are those of the base that the head has no more, placed in the base's files.
    """

    new: tuple[dict[str, Any], ...] = ()
    gone: tuple[dict[str, Any], ...] = ()
    unchanged: tuple[dict[str, Any], ...] = ()
    more: int = 0
    """How many more there are than a plan holds, of all three together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeChange:
    """Whether the judge itself differs, and what that comes to.

    `loosened` says in words what would no longer be refused. `base_only` are verdicts on the head that only the base's
    judge gives (what the change would stop refusing), `head_only` those that only its own gives; `more` counts those left out.
    """

    changed: bool = False
    loosened: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """Why the head's judge can't be used, where it can't."""
    base_only: tuple[dict[str, Any], ...] = ()
    head_only: tuple[dict[str, Any], ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """Whether signatures are checked, and what a reader must know of that before all else; empty where nothing."""

    on: bool = False
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedWaiver:
    """A waiver that excuses something here, or is about to end: `days` are left of it."""

    name: str
    tenant: str
    file: str
    rule: str
    object: str
    owner: str
    expires: str
    days: int
    used: bool
    expiring: bool
    granted: str = ""
    """Where the change itself brings this waiver and is excused by it: `signed by ana`, or `no signature says by whom`; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """How many agents would run something else, of how many; a pool counts as its maximum."""

    agents: int = 0
    total: int = 0
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a change would do. `base` and `head` are commits, `head` None for files as they are; `at` is when it was worked out."""

    base: str | None
    head: str | None
    at: str
    accepted: bool
    unjudged: bool
    signatures: Signatures
    judge: JudgeChange
    objects: Objects
    impact: Impact
    fleets: tuple[Fleet, ...]
    moves: tuple[Move, ...]
    verdicts: Verdicts
    waivers: tuple[UsedWaiver, ...]
    more_fleets: int = 0
    more_moves: int = 0
    prefix: str = ""
    """Leads from the root of the git repository to the fleet repository: empty, or with `/` at its end."""
    format: int = FORMAT

    @property
    def word(self) -> str:
        """What came of it, in a word or two."""
        return "accepted" if self.accepted else "could not judge" if self.unjudged else "refused"
