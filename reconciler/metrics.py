"""What a process says of itself to Prometheus; read when asked, so loops pay nothing for it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.pipeline.loop import Progress
from reconciler.pipeline.waivers import NOTICE_DAYS, ends_within
from reconciler.publication.times import stamp


class PipelineCollector(Collector):
    """The pipeline's progress as gauges."""

    def __init__(self, progress: Progress, now: Callable[[], datetime] = lambda: datetime.now(tz=UTC)) -> None:
        """Read `progress` at each scrape."""
        self.progress, self.now = progress, now

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each number."""
        progress = self.progress
        for name, text, value in (
            ("ordain_pipeline_ready", "1 when the newest head is examined and nothing is wrong", int(progress.ready)),
            ("ordain_pipeline_rounds", "Rounds since the start", progress.rounds),
            ("ordain_pipeline_decisions", "Decisions since the start", progress.decisions),
            ("ordain_pipeline_refused_files", "Files that keep their accepted version", progress.refused_files),
            ("ordain_pipeline_frozen_fleets", "Fleets that stand still", progress.frozen_fleets),
            ("ordain_pipeline_standing_verdicts", "Denials of what was accepted before, which refuse nothing", progress.standing_verdicts),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield from _of_waivers(progress, stamp(self.now()))


def _of_waivers(progress: Progress, now: str) -> Iterator[Metric]:
    """Yield what is to be known of waivers at an instant; broken glass pages whoever is on call (docs/waivers.md)."""
    counting = [one for one in progress.waivers if now < one.until]
    ending = [days for one in counting if not one.incident and (days := ends_within(one.until, now)) is not None]
    within = GaugeMetricFamily("ordain_waivers_ending", "Waivers that end within so many days", labels=["days"])
    for days in NOTICE_DAYS:
        within.add_metric([str(days)], sum(each <= days for each in ending))
    yield within
    for name, text, value in (
        ("ordain_waivers", "Waivers in force", len(counting)),
        ("ordain_waivers_unused", "Waivers in force that nothing needs", sum(one.unused for one in counting)),
        ("ordain_break_glass_active", "Waivers in force that break the glass for an incident", sum(bool(one.incident) for one in counting)),
    ):
        yield GaugeMetricFamily(name, text, value=value)


class HookCollector(Collector):
    """Webhooks by forge and the status they were answered with."""

    def __init__(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Read `counts` at each scrape."""
        self.counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield the one family."""
        family = CounterMetricFamily("ordain_webhooks", "Webhooks since the start", labels=("forge", "status"))
        for labels, count in sorted(self.counts.items()):
            family.add_metric(labels, count)
        yield family


def exposition(*collectors: Collector) -> Callable[[], bytes]:
    """Return a function that renders these collectors, and the process's own numbers, in Prometheus' text format."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    return lambda: generate_latest(registry)
