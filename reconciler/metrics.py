"""What a process says of itself to Prometheus; read when asked, so loops pay nothing for it."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.pipeline.loop import Progress


class PipelineCollector(Collector):
    """The pipeline's progress as gauges."""

    def __init__(self, progress: Progress) -> None:
        """Read `progress` at each scrape."""
        self.progress = progress

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each number."""
        progress = self.progress
        for name, text, value in (
            ("ordain_pipeline_ready", "1 when the newest head is examined and nothing is wrong", int(progress.ready)),
            ("ordain_pipeline_rounds", "Rounds since the start", progress.rounds),
            ("ordain_pipeline_decisions", "Decisions since the start", progress.decisions),
            ("ordain_pipeline_refused_files", "Files that keep their accepted version", progress.refused_files),
            ("ordain_pipeline_frozen_fleets", "Fleets that stand still", progress.frozen_fleets),
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
