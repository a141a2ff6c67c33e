"""What stands, or may stand, in the way of a fleet: freezes, fleets that go first, measurements, a spent error budget."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from reconciler.control.conduct.counting import count_unwell, read_usage
from reconciler.control.conduct.prometheus import Prometheus, unset
from reconciler.control.conduct.task import Task, desired_of
from reconciler.control.registry import rollouts, stops
from reconciler.control.rollout import budget
from reconciler.control.rollout.evidence import Tally
from reconciler.control.rollout.gates import Answer, Before, Burn, Gates, Hold, Stop
from reconciler.control.rollout.progress import Progress
from reconciler.control.rollout.regressions import regressed
from reconciler.control.rollout.turns import still_missing
from reconciler.rollouts.strategy import WHOLE, share_of
from reconciler.rollouts.windows import Freeze

REST_FACTOR = 20
"""What hosts measured is read again after this many times as long as that took: at most a twentieth of a core."""
REST_LEAST = timedelta(seconds=5)
"""Between two readings of what hosts measured: they measure at minutes."""
KEPT = 256
"""Stages whose measurements are kept, one for each fleet under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a rollout stands: `joining` is what the last wave's hosts show, `who` returns their names."""

    progress: Progress
    joining: Tally
    who: Callable[[], Collection[str]]

    @property
    def stage(self) -> str:
        """What tells apart measurements: what is said of another wave, or of another time in the same, says nothing of this one."""
        progress = self.progress
        digest = progress.candidate.release.digest if progress.candidate is not None else ""
        return f"{digest} {progress.attempt} {progress.wave} {progress.admitted_at}"


class Gatekeeper:
    """Reads gates; one for a process that leads. `burns` are how fast error budgets burn, by tenant and fleet, as read last."""

    def __init__(self, prometheus: Prometheus | None = None, *, held: Callable[[], Sequence[Hold]] = tuple) -> None:
        """`prometheus` is None where none is named; `held` says why no fleet may go forward now, a change of authority, say."""
        self._prometheus, self._held = prometheus, held
        self._measured: OrderedDict[str, tuple[datetime, Answer]] = OrderedDict()
        self.burns: dict[tuple[str, str], Burn] = {}

    def gates(self, connection: Connection, task: Task, standing: Standing) -> Gates:
        """Return all that is in the way now."""
        return Gates(
            stops=[*_stated(task), *_by_hand(connection, task)],
            before=list(_before(connection, task, standing.progress)),
            answers=list(self._answers(connection, task, standing)),
            burn=self._burn(task, standing.progress),
            held=[*_coming(task), *self._held()],
        )

    def counted(self, connection: Connection, task: Task, progress: Progress) -> Progress:
        """Return how a rollout stands with the error budget's counts, a new one where it is time for that."""
        if "healthy" not in task.controls.fleets[task.fleet].objectives:
            return msgspec.structs.replace(progress, budget=[])
        if not budget.is_due(progress.budget, task.now):
            return progress
        unwell, hosts = count_unwell(connection, task.tenant, task.fleet, now=task.now)
        samples = budget.counted(progress.budget, unwell=unwell, hosts=hosts, now=task.now)
        return msgspec.structs.replace(progress, budget=samples)

    def _burn(self, task: Task, progress: Progress) -> Burn:
        healthy = task.controls.fleets[task.fleet].objectives.get("healthy")
        place = (task.tenant, task.fleet)
        if healthy is None:
            self.burns.pop(place, None)
            return Burn()
        found = self.burns[place] = budget.burn_of(progress.budget, share_of(str(healthy)), task.now)
        return found

    def _answers(self, connection: Connection, task: Task, standing: Standing) -> Iterator[Answer]:
        """Yield what is measured of the wave that is applying."""
        if standing.progress.candidate is None or standing.progress.phase != "applying":
            return
        health = task.strategy.health
        if health.regressions:
            yield self._regressions(connection, task, standing)
        if self._prometheus is None:
            yield from unset(health.metrics)
        else:
            yield from (self._prometheus.answer(one, f"{task.name} {standing.stage}", task.now) for one in health.metrics)

    def _regressions(self, connection: Connection, task: Task, standing: Standing) -> Answer:
        place = f"{task.name} {standing.stage} {standing.joining.healthy}"
        known = self._measured.get(place)
        if known is not None and task.now < known[0]:
            return known[1]
        began = time.perf_counter()
        answer = _measured(connection, task, standing)
        rest = max(REST_LEAST, timedelta(seconds=REST_FACTOR * (time.perf_counter() - began)))
        self._measured[place] = (task.now + rest, answer)
        if len(self._measured) > KEPT:
            self._measured.popitem(last=False)
        return answer


def _coming(task: Task) -> Iterator[Hold]:
    """Yield that a fleet waits for the release that goes by these controls: what is there goes by those before."""
    if not task.controls.fleets[task.fleet].coming:
        return
    newest = desired_of(task, frozenset())
    if newest is None or newest.decision < task.controls.decision:
        yield Hold(kind="coming", why=f"its release of commit {task.controls.head[:12]} is about to be approved")


def _measured(connection: Connection, task: Task, standing: Standing) -> Answer:
    """Return what the hosts of the wave measured, of as many as the strategy wants to hear of those that are well."""
    progress, strategy = standing.progress, task.strategy
    digest = progress.candidate.release.digest if progress.candidate is not None else ""
    usage = read_usage(connection, task.tenant, task.fleet, digest=digest, attempt=progress.attempt, hosts=standing.who())
    soak = strategy.steps[min(progress.wave, len(strategy.steps) - 1)].soak
    hosts = max(1, -(-standing.joining.healthy * strategy.health.quorum // WHOLE))
    return regressed(strategy.health.regressions, usage, hosts=hosts, soak=soak)


def _before(connection: Connection, task: Task, progress: Progress) -> Iterator[Before]:
    """Yield the fleets that go first, as far as something is about to go here."""
    strategy, candidate = task.strategy, progress.candidate
    if not strategy.after:
        return
    parts = [part[1].decision for part in (task.releases.bundle, task.releases.members) if part is not None]
    decision = (candidate.decision if candidate is not None else 0) or max(parts, default=0)
    for name in strategy.after:
        releases = task.others(name) if name in task.controls.fleets else None
        if releases is None:
            yield Before(fleet=name, missing="there is no release of it" if name in task.controls.fleets else "there is no such fleet")
            continue
        kept = rollouts.get(connection, task.tenant, name)
        missing = still_missing(releases.approvals.values(), kept.progress if kept is not None else None, decision)
        yield Before(fleet=name, missing=missing)


def _stated(task: Task) -> Iterator[Stop]:
    return (_manifest_freeze(one) for one in task.controls.freezes if task.fleet in one.get("fleets", ()))


def _by_hand(connection: Connection, task: Task) -> Iterator[Stop]:
    found = stops.on(connection, now=task.now, tenant=task.tenant)
    return (_freeze(one) for one in found if one.is_about(task.tenant, task.fleet))


def _manifest_freeze(stated: Mapping[str, Any]) -> Stop:
    start, until = (datetime.fromisoformat(str(stated[name])).astimezone(UTC) for name in ("from", "until"))
    freeze = Freeze(name=str(stated["name"]), start=start, until=until)
    return Stop(freeze=freeze, reason=str(stated.get("reason", "")), owner=str(stated.get("owner", "")))


def _freeze(one: stops.Stop) -> Stop:
    return Stop(freeze=Freeze(name=f"by hand, number {one.id}", start=one.begins_at, until=one.until), reason=one.reason, owner=one.who)
