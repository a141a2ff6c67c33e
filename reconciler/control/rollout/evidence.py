"""What each host shows of an attempt: purely from what it reported and when it was heard, for one instant.

Only a receipt of the exact (digest, group, mode, attempt) counts, in the mode that is due, once the host was still heard of, and still
well, at the end of the soak. Who was heard of since a mode was switched has as long for it as for the release; who was not is judged by
what it said before, and so is who failed, until it says something better.
Silence is not success: a host that was connected when it was admitted and then says nothing past the time-out has failed. One that was
away before is neither; from its return on it has as long as any.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from reconciler.control.rollout.progress import Progress, switched_at
from reconciler.publication.times import instant, stamp
from reconciler.rollouts.strategy import Health, Step

Result = Literal["applied", "refused", "failed", "restored", "waiting"]


class Verdict(StrEnum):
    """What a host shows: only `HEALTHY` and `FAILED` are final."""

    HEALTHY = "healthy"
    SOAKING = "soaking"
    PENDING = "pending"
    FAILED = "failed"
    AWAY = "away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A host's newest receipt of the attempt in the mode that is `due` for it, else in any; `at` is when it arrived here."""

    result: Result
    at: datetime
    due: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What is known of one host: `seen` when it was last heard of, `connected` whether it counts as lost, `since` when that changed.

    `said` is its newest receipt of the attempt; `well` is false where it reported since that this release no longer stands there.
    """

    name: str
    seen: datetime | None = None
    connected: bool = False
    since: datetime | None = None
    said: Said | None = None
    well: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """By what a host is judged: when it was admitted, how long it must hold, and how long it may be silent.

    `resumed` is when its wave went on after a pause: the soak begins there where it said before that it applied the release.
    `switched` is when a mode of the fleet was last switched on or off.
    """

    admitted: datetime
    soak: timedelta
    timeout: timedelta
    resumed: datetime | None = None
    switched: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many hosts show what; `names` are some of those that failed, for people: see `told`."""

    healthy: int = 0
    soaking: int = 0
    pending: int = 0
    failed: int = 0
    away: int = 0
    names: tuple[str, ...] = ()
    due: datetime | None = field(default=None, compare=False)
    """When a verdict changes next if nothing is heard, None if none does."""

    @property
    def total(self) -> int:
        """All hosts."""
        return self.reachable + self.away

    @property
    def reachable(self) -> int:
        """Those who can show anything: connected when admitted, or since."""
        return self.decided + self.soaking + self.pending

    @property
    def decided(self) -> int:
        """Those whose verdict is final."""
        return self.healthy + self.failed


def terms_of(progress: Progress, step: Step, health: Health, *, now: datetime) -> Terms:
    """Return by what the hosts of a rollout are judged that admitted a wave, by the wave's own step."""
    switched = switched_at(progress, stamp(now))
    return Terms(
        admitted=instant(max(progress.admitted_at, progress.paced_at), what="wave"),
        soak=timedelta(seconds=step.soak),
        timeout=timedelta(seconds=health.timeout),
        resumed=instant(progress.resumed_at, what="wave") if progress.resumed_at else None,
        switched=instant(switched, what="mode") if switched else None,
    )


NAMED = 5
"""Failed hosts that are named in reasons."""
DENYING = frozenset({"refused", "failed", "restored"})


def judge(host: Host, terms: Terms, now: datetime) -> tuple[Verdict, datetime | None]:
    """Return what a host shows at `now`, and when that changes if nothing more is heard of it."""
    said = host.said
    if said is not None and said.result in DENYING:
        return Verdict.FAILED, None
    admitted, switched = terms.admitted, terms.switched
    if said is not None and not said.due and switched is not None and host.seen is not None and host.seen >= switched:
        said, admitted = None, max(admitted, switched)  # what it said was of the mode before
    if said is not None and said.result == "applied":
        return _applied(host, said, terms, now)
    if not _was_there(host, admitted):
        return Verdict.AWAY, None
    started = max(admitted, host.since) if host.connected and host.since else admitted
    until = started + terms.timeout
    return (Verdict.FAILED, None) if now >= until else (Verdict.PENDING, until)


def told(host: Host) -> str:
    """Return a host that failed as people are told of it: by its name, and whether it fell silent or was late rather than said no."""
    said = host.said
    if said is not None and (said.result in DENYING or not host.well):
        return host.name
    if said is not None and not said.due:
        return f"{host.name} not in the mode that is on"
    return f"{host.name} {'late' if said is not None and said.result == 'waiting' else 'silent'}"


def tally(hosts: Iterable[Host], terms: Terms, now: datetime) -> Tally:
    """Return how many of these hosts show what at `now`."""
    counts = dict.fromkeys(Verdict, 0)
    failed: list[str] = []
    due: datetime | None = None
    for host in hosts:
        verdict, changes = judge(host, terms, now)
        counts[verdict] += 1
        if verdict is Verdict.FAILED and len(failed) < NAMED:
            failed.append(told(host))
        if changes is not None and (due is None or changes < due):
            due = changes
    return Tally(**{verdict.value: count for verdict, count in counts.items()}, names=tuple(failed), due=due)


def _applied(host: Host, said: Said, terms: Terms, now: datetime) -> tuple[Verdict, datetime | None]:
    if not host.well:
        return Verdict.FAILED, None
    until = (max(said.at, terms.resumed) if terms.resumed else said.at) + terms.soak
    if host.seen is not None and host.seen >= until <= now:
        return Verdict.HEALTHY, None
    silent = max(until, host.seen or said.at) + terms.timeout
    return (Verdict.FAILED, None) if now >= silent else (Verdict.SOAKING, until if now < until else silent)


def _was_there(host: Host, admitted: datetime) -> bool:
    """Return whether a host was connected when it was admitted, or has been since."""
    if host.seen is None:
        return False
    if host.connected:
        return True
    return host.since is not None and host.since > admitted  # lost only since then
