"""What operators send and get about rollouts, freezes and modes; as `shapes` says."""

from typing import Literal

from agent.protocol.state import Struct
from reconciler.control.api.shapes import Shape

Phase = Literal["settled", "waiting", "applying", "paused", "stopped"]


class Waiting(Shape):
    """What a rollout waits for: `kind` for machines, `why` for people, `until` when that may change by itself, "" if nobody knows."""

    kind: str
    why: str
    until: str


class ModeOn(Shape):
    """A mode that is on; `everywhere` is false while the first wave's hosts alone are in it.

    `overruled_by` is the mode that is on, too, and counts more, "" for none: where `overruled_everywhere`, on all hosts, else on those of
    its first wave alone.
    """

    tenant: str
    fleet: str
    mode: str
    start: str
    until: str
    who: str
    reason: str
    everywhere: bool
    overruled_by: str
    overruled_everywhere: bool


class ModeList(Shape):
    """All modes that are on, of the fleets that may be seen."""

    modes: list[ModeOn]


class InGit(Shape):
    """How a fleet stands by git: `ok`, or `frozen` at its last release (or `waiting` for its first) since `commit` was refused, and why.

    It goes on by a commit that is let through; "" where `state` is `ok`, or where that is not known.
    """

    state: Literal["ok", "frozen", "waiting"]
    why: str
    since: str
    commit: str


class RolloutRow(Shape):
    """How a fleet's rollout stands.

    `phase`: `settled` on the stable release, `waiting` to admit the next wave, `applying` the one that is admitted, `paused`, or `stopped`
    after the candidate was taken back. `wave` is the last that was admitted, the `number`-th of `waves`; `total` are all hosts.
    `stable`, `candidate` and `refused` are digests, "" for none, each with its commit where that is known. `in_git` says whether the
    newest commit has a release at all.
    `since` is when the phase, the wave or the kinds of `holds` changed last; `why` may have got other words since then. `wave_since` is
    when that wave was admitted, or, where it was `resumed`, when it went on after a pause; "" where none was.
    """

    tenant: str
    fleet: str
    phase: Phase
    stable: str
    stable_commit: str
    candidate: str
    commit: str
    refused: str
    refused_commit: str
    attempt: int
    wave: str
    number: int
    waves: int
    total: int
    since: str
    wave_since: str
    resumed: bool
    why: str
    holds: list[Waiting]
    in_git: InGit


class CommitShown(Shape):
    """What became of a commit in a fleet, since `at`: `why` in words, `rollout` is how the fleet's stands now, null for nothing yet.

    `outcome`: `stable` for everybody, now or once; `taken-back`; `superseded`, since `by`, a newer commit, came before it was stable;
    `refused` by policy, so that it has no release; `going`; or `unknown` here, yet or any more.
    """

    commit: str
    outcome: Literal["unknown", "going", "stable", "taken-back", "superseded", "refused"]
    at: str
    why: str
    by: str
    digest: str
    rollout: RolloutRow | None


class RolloutList(Shape):
    """The rollouts of all fleets that may be seen."""

    rollouts: list[RolloutRow]


class WaveRow(Shape):
    """A wave: whom it takes, how long it soaks (seconds), how many people must approve it, how many hosts it newly reaches, what they show.

    `state` is `done`, `current` or `next`; counts of one that is to come are 0.
    """

    name: str
    state: Literal["done", "current", "next"]
    share: str
    labels: dict[str, str]
    soak: int
    approvers: int
    hosts: int
    healthy: int
    soaking: int
    silent: int
    failed: int
    away: int


class FailedHost(Shape):
    """A host that failed, and why in its own words; `result` is "" where it fell silent."""

    agent: str
    result: str
    why: str
    at: str


class PendingHost(Shape):
    """A host that was admitted and is not there yet: when it was last heard of at all, and what it says of the release, "" for nothing."""

    agent: str
    last_seen: str
    why: str


class ApprovalRow(Shape):
    """Who approved a wave, and with which words."""

    wave: str
    who: str
    at: str
    comment: str


class RolloutEvent(Shape):
    """Something that happened to a rollout, with its reason."""

    at: str
    kind: str
    why: str
    digest: str
    attempt: int


class HostTurn(Shape):
    """In which wave (`number`, from 1) a host gets a release, or got it; by the strategy as it is now, wave "" where it had no waves.

    `state`: `admitted` where the release is on its way and the host may have it, `next` where it is not its turn yet; `stable` and
    `refused` are of the release.
    """

    digest: str
    attempt: int
    wave: str
    number: int
    waves: int
    state: str


class BudgetCounted(Shape):
    """How much of a fleet's error budget is counted: `minutes` of the last hour, of which it `needs` so many.

    Where it is not `measured`, neither over the last hour nor over the last six, it holds nothing yet.
    """

    minutes: int
    needs: int
    measured: bool


class FormerRelease(Shape):
    """A release that was stable, and its commit, "" where that is not known."""

    digest: str
    commit: str


class RolloutShown(RolloutRow):
    """All that is known of a fleet's rollout: `moves` is what would move it, in words; `former` are releases one may go back to.

    `back_to` are the same with their commits.

    `newest` is the newest approved release, with its commit; `events` are the last ones, the newest first; `turns` are those of the
    host that was named. `budget` is null where the fleet has no objective.
    """

    newest: str
    newest_commit: str
    plan: list[WaveRow]
    failed: list[FailedHost]
    pending: list[PendingHost]
    moves: list[str]
    approvals: list[ApprovalRow]
    modes: list[ModeOn]
    budget: BudgetCounted | None
    former: list[str]
    back_to: list[FormerRelease]
    events: list[RolloutEvent]
    turns: list[HostTurn]


class Ordered(Shape):
    """What came of an order: `followed` is false where whoever conducts rollouts has not taken it up yet; then `happened` is empty.

    `ignored` is true where it was taken up and there was nothing to do for it: `why` says so, "" otherwise. `digest` and `commit` are
    of the release that is on its way now, or else of the one that was taken back, or of the stable one; "" where that is not known.
    """

    target: str
    followed: bool
    ignored: bool
    why: str
    digest: str
    commit: str
    phase: str
    happened: list[RolloutEvent]


class RolloutOrder(Struct):
    """Why; `to` is the digest to roll back to, or its first digits: "" for the release before.

    `digest` and `commit` are of `approve` alone: what is approved, by 7 digits or more. The order is ignored where another release is
    on its way when it is followed; "" approves whichever that is.
    """

    reason: str
    to: str = ""
    digest: str = ""
    commit: str = ""


class NewMode(Struct):
    """For how many `seconds`, and why; `now` leaves the canary out."""

    reason: str
    seconds: int
    now: bool = False


class NewFreeze(Struct):
    """For how many `seconds`, and why."""

    reason: str
    seconds: int


class FreezeRow(Shape):
    """A freeze: `tenant` "" is all tenants, `fleets` empty are all of the tenant's. `manifest` names one that stands in git.

    `number` is that of one that was put on by hand, 0 for one of git, which ends by a commit.
    """

    number: int
    manifest: str
    tenant: str
    fleets: list[str]
    reason: str
    who: str
    start: str
    until: str


class FreezeList(Shape):
    """All freezes that are on, of what may be seen."""

    freezes: list[FreezeRow]
