"""How a rollout stands, for people: reckoned when somebody asks, from what is kept and from what hosts show at that moment.

Nothing is decided here. On a fleet of a hundred thousand hosts it takes a second or so, which nobody but the asker waits for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from agent.protocol.rollout import Release, RolloutDocument
from reconciler.control.conduct.due import Modes
from reconciler.control.conduct.hosts import newest_receipts, read_hosts, read_unwell
from reconciler.control.conduct.membership import Roll
from reconciler.control.registry import rollouts, schema
from reconciler.control.rollout import budget
from reconciler.control.rollout.evidence import Host, Tally, Terms, Verdict, judge, tally, terms_of
from reconciler.control.rollout.gates import Burn
from reconciler.control.rollout.progress import Progress
from reconciler.publication.controls import Controls
from reconciler.publication.published import read_published
from reconciler.publication.releases import Releases, read_newest
from reconciler.publication.store import Store
from reconciler.publication.times import stamp
from reconciler.publication.trust import read_trust
from reconciler.rollouts.strategy import Strategy, share_of, strategy_of
from reconciler.rollouts.waves import Wave, waves

FAILED_SHOWN = 50
"""Hosts that failed, or were not heard of, that are listed: whoever is called at night reads the first few."""
_receipts = schema.receipts


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A host that failed: what it reported, in its words, and when that came; `result` "" where it fell silent."""

    agent: str
    result: str
    why: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A host that was admitted and is not there yet: when it was last heard of, and what it says of the release, "" for nothing."""

    agent: str
    seen: datetime | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSeen:
    """A wave and what the hosts show whom it newly reached; `admitted` is false for one that is still to come."""

    wave: Wave
    admitted: bool
    shown: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How much of the error budget is counted: `minutes` of the last hour; where it is not `measured` it holds nothing."""

    minutes: int
    measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a fleet's rollout stands; `waves` are those of the candidate, none where nothing is on its way.

    `former` are the earlier stable releases that may be gone back to: those that are still listed. `budget` is None without an objective.
    """

    kept: rollouts.Kept
    strategy: Strategy
    newest: Release | None
    commit: str
    former: Sequence[Release] = ()
    waves: Sequence[WaveSeen] = ()
    failed: Sequence[Failed] = field(default=())
    pending: Sequence[Pending] = field(default=())
    budget: Counted | None = None


class Viewer:
    """Looks at rollouts; one for a process."""

    def __init__(self, store: Store) -> None:
        """`store` is where approved files stand."""
        self._store, self._roll, self._modes = store, Roll(store), Modes(store)

    def view(self, connection: Connection, controls: Controls, fleet: str, *, now: datetime) -> View | None:
        """Return how a fleet's rollout stands, None where no rollout of it was ever conducted; raises as verifying its releases does."""
        tenant = controls.tenant
        kept = rollouts.get(connection, tenant, fleet)
        trust = read_trust(self._store, tenant)
        releases = read_newest(self._store, trust, fleet) if trust else None
        if kept is None or fleet not in controls.fleets:
            return None
        strategy = strategy_of(controls.fleets[fleet].rollout)
        newest = releases.desired if releases else None
        former = tuple(filter(releases.lists, kept.progress.former)) if releases else ()
        commit = (releases.commit or "") if releases else ""
        counted = _counted(kept.progress, controls.fleets[fleet].objectives, now)
        seen = View(kept=kept, strategy=strategy, newest=newest, commit=commit, former=former, budget=counted)
        about = kept.progress.candidate.release if kept.progress.candidate else kept.progress.refused
        if releases is None or about is None:
            return seen
        return self._shown(connection, seen, releases, about, now)

    def _shown(self, connection: Connection, seen: View, releases: Releases, about: Release, now: datetime) -> View:
        kept, progress = seen.kept, seen.kept.progress
        attempt = progress.attempt if progress.candidate else progress.attempts.get(about.digest, progress.attempt)
        members = self._roll.members(connection, releases, kept.tenant, kept.fleet, about.members)
        planned = waves(seen.strategy, members, candidate=about.digest, attempt=attempt)
        due = self._modes.due(f"{kept.tenant}/{kept.fleet}", about.digest, self._standing(kept), members, now)
        said, _ = newest_receipts(connection, kept.tenant, kept.fleet, about.digest, attempt, due=due)
        unwell = read_unwell(connection, kept.tenant, kept.fleet, about.digest)
        hosts = read_hosts(connection, kept.tenant, kept.fleet, said=said, unwell=unwell)
        names = [name for name, host in hosts.items() if host.said is not None]
        found: tuple[WaveSeen, ...] = ()
        if progress.candidate is not None:
            found = tuple(_waves(planned, progress, seen.strategy, hosts, now))
            names = [name for one in found if one.admitted for name in one.wave.joining if name not in progress.held]
        terms = _terms(progress, planned, seen.strategy, now)
        shown = [(name, judge(hosts.get(name) or Host(name=name), terms, now)[0]) for name in names]
        bad = [name for name, verdict in shown if verdict is Verdict.FAILED]
        late = sorted(name for name, verdict in shown if verdict is Verdict.PENDING)[:FAILED_SHOWN]
        last = _last(connection, kept, about.digest, attempt, [*bad[:FAILED_SHOWN], *late])
        return replace(
            seen,
            waves=found,
            failed=[_failed(name, last.get(name)) for name in sorted(bad[:FAILED_SHOWN])],
            pending=[Pending(agent=name, seen=hosts[name].seen, why=last[name].why if name in last else "") for name in late],
        )

    def _standing(self, kept: rollouts.Kept) -> RolloutDocument | None:
        """Return what hosts read, where it may have switched a mode on for them."""
        found = read_published(self._store, kept.tenant, kept.fleet) if kept.progress.switches else None
        return found.document if found else None


def _counted(progress: Progress, objectives: Mapping[str, object], now: datetime) -> Counted | None:
    if "healthy" not in objectives:
        return None
    burn = budget.burn_of(progress.budget, share_of(str(objectives["healthy"])), now)
    return Counted(minutes=budget.minutes(progress.budget, now), measured=burn != Burn())


def _waves(planned: Sequence[Wave], progress: Progress, strategy: Strategy, hosts: Mapping[str, Host], now: datetime) -> Iterator[WaveSeen]:
    terms, held = _terms(progress, planned, strategy, now), frozenset(progress.held)
    for number, wave in enumerate(planned):
        admitted = number <= progress.wave
        reached = [hosts.get(name) or Host(name=name) for name in wave.joining if name not in held] if admitted else []
        yield WaveSeen(wave=wave, admitted=admitted, shown=tally(reached, terms, now))


def _terms(progress: Progress, planned: Sequence[Wave], strategy: Strategy, now: datetime) -> Terms:
    began = progress if progress.admitted_at else msgspec.structs.replace(progress, admitted_at=stamp(now))
    return terms_of(began, planned[max(0, min(progress.wave, len(planned) - 1))].step, strategy.health, now=now)


def _last(connection: Connection, kept: rollouts.Kept, digest: str, attempt: int, names: Sequence[str]) -> dict[str, Failed]:
    """Return what these hosts said of a release last, in their own words; nothing of those that said nothing."""
    wanted = (
        _receipts.c.tenant == kept.tenant,
        _receipts.c.fleet == kept.fleet,
        _receipts.c.digest == digest,
        _receipts.c.attempt == attempt,
        _receipts.c.agent.in_(names),
    )
    rows = connection.execute(select(_receipts).where(*wanted).order_by(_receipts.c.id))
    return {
        row.agent: Failed(agent=row.agent, result=row.result, why=str(row.signed.get("receipt", {}).get("why", "")), at=row.received_at)
        for row in rows
    }


def _failed(name: str, last: Failed | None) -> Failed:
    """Return why a host failed: what it said, or that it said nothing, or nothing more."""
    if last is None:
        return Failed(agent=name, result="", why="not heard of in time", at=None)
    why = last.why or ("it fell silent, or no longer stands" if last.result == "applied" else "")
    return replace(last, why=why)
