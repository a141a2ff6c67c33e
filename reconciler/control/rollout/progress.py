"""How a fleet's rollout stands: what must outlive a process. Everything else follows from it, from evidence and from the time."""

from typing import Literal

from agent.protocol.rollout import Release
from agent.protocol.state import Struct

FORMAT = 1
FORMER_KEPT = 10
"""Stable releases that a fleet may go back to by `ordain rollout rollback`."""
ATTEMPTS_KEPT = 100
"""Digests whose last attempt is remembered, so that one that comes again is tried under a new number."""

FATES_KEPT = 30
"""Commits of which a fleet remembers what became of them: whoever waits for one of an hour ago should find it."""

Ended = Literal["", "stable", "taken-back", "superseded"]
Phase = Literal["settled", "waiting", "applying", "paused", "stopped"]


class Candidate(Struct):
    """What is being rolled out: `release`, the commit and decision that it comes from, and when it became the candidate."""

    release: Release
    commit: str
    decision: int
    at: str


class Approval(Struct):
    """That somebody approved a wave of an attempt."""

    wave: str
    attempt: int
    who: str
    at: str
    comment: str = ""


class Switch(Struct):
    """A mode that somebody switched on: first for the first wave's hosts, unless `all_at_once`, then `everywhere`.

    `start` is what hosts are told; `began` is when it went on, where that was before: its end was moved since.
    """

    name: str
    start: str
    until: str
    who: str
    reason: str
    everywhere: bool = False
    everywhere_at: str = ""
    began: str = ""

    @property
    def since(self) -> str:
        """When it went on."""
        return self.began or self.start


class Fate(Struct):
    """What became of a commit, since `at`: "" for nothing yet. `by` is the commit that came before it was stable, `why` says why it went.

    One that was stable once is, unless it was rolled back.
    """

    commit: str
    release: Release
    outcome: Ended = ""
    at: str = ""
    why: str = ""
    by: str = ""


class Progress(Struct):
    """A fleet's rollout; times are RFC 3339 in UTC.

    `phase`: `settled` on the stable release; `waiting` to admit the next wave; `applying` the one that is admitted, until it has soaked;
    `paused` by a person or after a failure; `stopped` after the candidate was taken back. `wave` is the index of the last wave that
    was admitted, -1 for none; `selectors`, `bound` and `total` (members, the denominator) are as they were then.
    `refused` is the release that is not offered again. `serial` is that of the document that was made of it: where a higher one is
    published, this is older than what agents know. `told` counts its events, `happened` those of each kind.
    `held` are hosts that wait for others of their wave, `waiting` how many that are there do, `paced_at` when some were let go last.
    `resumed_at` is when the wave went on after a pause: its soak begins there. `switched_at` is when `switches` last changed.
    `budget` are counts of hosts that were unwell, as in `budget.Sample`. `why` says in words what it waits for or why it stands; `since`
    is when its phase, its wave or the kinds of what it waits for changed last, `waits` since when each of these kinds is waited for.
    `commits` says of which commit the stable release and former ones were, by digest; `fates` are the last commits, the newest last.
    """

    format: int = FORMAT
    phase: Phase = "settled"
    stable: Release | None = None
    stable_commit: str = ""
    stable_decision: int = 0
    candidate: Candidate | None = None
    attempt: int = 1
    wave: int = -1
    admitted_at: str = ""
    selectors: list[dict[str, str]] = []
    bound: int = 0
    total: int = 0
    held: list[str] = []
    waiting: int = 0
    paced_at: str = ""
    refused: Release | None = None
    refused_commit: str = ""
    why: str = ""
    since: str = ""
    waits: dict[str, str] = {}
    attempts: dict[str, int] = {}
    former: list[Release] = []
    commits: dict[str, str] = {}
    fates: list[Fate] = []
    approvals: list[Approval] = []
    switches: list[Switch] = []
    switched_at: str = ""
    paused_by: str = ""
    paused_why: str = ""
    resumed_at: str = ""
    serial: int = 0
    told: int = 0
    happened: dict[str, int] = {}
    budget: list[tuple[int, int, int]] = []


def switched_at(progress: Progress, now: str) -> str:
    """Return when a mode was last switched on or off until `now`, "" for never: one whose time is over is off before that is noted."""
    return max([progress.switched_at, *(one.until for one in progress.switches if one.until <= now)])
