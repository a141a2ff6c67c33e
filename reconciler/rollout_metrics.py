"""Rollouts as numbers, for alerts: how they stand, for how long they wait for what, what became of them; the same from every `serve`."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from agent.protocol.errors import OrdainError
from reconciler.control.known import KnownTenants
from reconciler.control.registry import rollouts, stops
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.rollouts import Kept
from reconciler.publication.times import instant

PHASES = ("settled", "waiting", "applying", "paused", "stopped")
FLEET = ("tenant", "fleet")
_log = logging.getLogger(__name__)


class RolloutCollector(Collector):
    """Reads the registry at each scrape; says nothing while that can't be reached."""

    def __init__(self, registry: Registry, known: KnownTenants, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Nothing is read yet."""
        self._registry, self._known, self._now = registry, known, now

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each number."""
        now = self._now()
        try:
            kept, frozen = self._registry.look(_read, self._known.tenants(), now=now)
        except OrdainError as error:
            _log.warning("rollouts can't be counted: %s", error)
            return
        phases: Counter[str] = Counter(one.progress.phase for one in kept)
        stand = GaugeMetricFamily("ordain_rollouts", "Fleets by how their rollout stands; stopped: taken back", labels=("phase",))
        for phase in PHASES:
            stand.add_metric((phase,), phases[phase])
        yield stand
        yield GaugeMetricFamily("ordain_freezes", "Freezes by hand that are on", value=frozen)
        yield from _under_way(kept, now)
        yield _happened(kept)


def _read(connection: Connection, tenants: list[str], *, now: datetime) -> tuple[list[Kept], int]:
    return [one for tenant in tenants for one in rollouts.listed(connection, tenant)], len(stops.on(connection, now=now))


def _under_way(kept: list[Kept], now: datetime) -> Iterator[Metric]:
    """Yield, of rollouts under way, which wave was admitted last (from 1 on, 0 for none), and for how long each thing is waited for."""
    waves = GaugeMetricFamily("ordain_rollout_wave", "The last wave that was admitted, from 1 on; 0 for none", labels=FLEET)
    text = "For how long a rollout has stood where it is, by what it waits for"
    waiting = GaugeMetricFamily("ordain_rollout_waiting_seconds", text, labels=(*FLEET, "for"))
    for one in kept:
        if one.progress.candidate is None:
            continue
        waves.add_metric((one.tenant, one.fleet), one.progress.wave + 1)
        for kind in sorted({hold["kind"] for hold in one.holds}) or ["person"]:
            since = one.progress.waits.get(kind, one.progress.since)
            since = max(filter(None, (since, one.progress.admitted_at, one.progress.candidate.at)))
            seconds = max((now - instant(since, what="rollout")).total_seconds(), 0.0)
            waiting.add_metric((one.tenant, one.fleet, kind), seconds)
    yield waves
    yield waiting


def _happened(kept: list[Kept]) -> Metric:
    told = CounterMetricFamily("ordain_rollout_transitions", "What happened to rollouts, by kind", labels=(*FLEET, "kind"))
    for one in kept:
        for kind, count in sorted(one.progress.happened.items()):
            told.add_metric((one.tenant, one.fleet, kind), count)
    return told
