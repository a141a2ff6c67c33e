"""What a process says of itself to Prometheus; read when asked, so loops pay nothing for it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.control.api.talk import Talk
from reconciler.control.rollout.gates import Burn
from reconciler.control.zone import Zone
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


class TalkCollector(Collector):
    """How many agents are connected and wait, what is reported, and who is refused or slowed down."""

    def __init__(self, talk: Talk, refused: Mapping[tuple[str, str], int]) -> None:
        """Read both at each scrape; `refused` counts by route and code, see `Gate`."""
        self.talk, self.refused = talk, refused

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each number."""
        talk, groups, waiting = self.talk, self.talk.intake.groups, self.talk.waiting
        for name, text, value in (
            ("ordain_agents_connections", "Connections of agents and operators", talk.guards.connections),
            ("ordain_watch_waiting", "Agents that wait for news", waiting.waiting),
            ("ordain_watch_wake_seconds", "Seconds that the last waking took", waiting.wake_seconds),
            ("ordain_reports_queued", "Reports that wait to be kept", groups.queued),
            ("ordain_reports_commit_seconds", "Seconds that the last commit of reports took", groups.seconds),
            ("ordain_requests_held", "Refusals that are held before they are sent", talk.pacing.held),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        for name, text, count in (
            ("ordain_watch_waits", "Watches that had to wait", waiting.waits),
            ("ordain_watch_wakes", "Waiting agents that were woken by news", waiting.wakes),
            ("ordain_reports_commits", "Commits of reports", groups.commits),
        ):
            yield CounterMetricFamily(name, text, value=count)
        yield from self._by_reason()

    def _by_reason(self) -> Iterator[Metric]:
        talk = self.talk
        for name, text, counts in (
            ("ordain_reports", "Batches by what became of them", talk.intake.counts),
            ("ordain_receipts_dropped", "Receipts that don't hold", talk.intake.signatures.dropped),
            ("ordain_requests_slowed", "Requests that came too often, by what they exceeded", talk.pacing.slowed),
            ("ordain_connections_cut", "Connections that took their time", talk.guards.cut),
        ):
            family = CounterMetricFamily(name, text, labels=("reason",))
            for reason, count in sorted(counts.items()):
                family.add_metric((reason,), count)
            yield family
        refused = CounterMetricFamily("ordain_requests_refused", "Requests that were refused", labels=("route", "code"))
        for labels, count in sorted(self.refused.items()):
            refused.add_metric(labels, count)
        yield refused


class BudgetCollector(Collector):
    """How fast fleets burn their error budgets, as this copy read it last; one that doesn't lead reads none."""

    def __init__(self, burns: Mapping[tuple[str, str], Burn]) -> None:
        """Read `burns` at each scrape."""
        self.burns = burns

    def collect(self) -> Iterator[Metric]:
        """Yield one family, with what can be told."""
        text = "How many times as fast as its objective lets it a fleet burns its error budget; above 2 its rollouts hold"
        family = GaugeMetricFamily("ordain_error_budget_burn", text, labels=("tenant", "fleet", "span"))
        for (tenant, fleet), burn in sorted(dict(self.burns).items(), key=lambda one: one[0]):
            for span, rate in (("1h", burn.hour), ("6h", burn.six_hours)):
                if rate is not None:
                    family.add_metric((tenant, fleet, span), rate)
        yield family


class JoinCollector(Collector):
    """Who joined, whose certificates were renewed, and who was refused."""

    def __init__(self, zone: Zone) -> None:
        """Read its counts at each scrape."""
        self.zone = zone

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each number."""
        joined = CounterMetricFamily("ordain_enrolments", "Enrolments by outcome", labels=("outcome",))
        for outcome, count in sorted(self.zone.enrolling.counts.items()):
            joined.add_metric((outcome,), count)
        yield joined
        renewed = CounterMetricFamily("ordain_renewals", "Renewals of certificates by how and outcome", labels=("how", "outcome"))
        for labels, count in sorted(self.zone.renewing.counts.items()):
            renewed.add_metric(labels, count)
        yield renewed
        changes = CounterMetricFamily("ordain_authority_changes", "Changes of authority by outcome", labels=("outcome",))
        for outcome in ("promoted", "taken-back"):
            changes.add_metric((outcome,), self.zone.rotation.outcomes[outcome])
        yield changes
        yield GaugeMetricFamily("ordain_authority_trial", "1 while a new authority is tried", value=int(self.zone.rotation.under_way))
        text = "Seconds from the first failure of a trial until it was taken back, of the last one"
        yield GaugeMetricFamily("ordain_authority_rollback_seconds", text, value=self.zone.rotation.seconds)
        yield CounterMetricFamily("ordain_platform_fetches", "Fetches of platforms' keys", value=self.zone.settings.platforms.fetches)


class OperatorCollector(Collector):
    """What policy decided, and which requests of operators were refused."""

    def __init__(self, refused: Mapping[tuple[str, str], int], decided: Mapping[tuple[str, str], int]) -> None:
        """Read `refused` (by action and reason) and `decided` (by policy and outcome) at each scrape."""
        self.refused, self.decided = refused, decided

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each."""
        refused = CounterMetricFamily("ordain_operators_refused", "Requests of operators that were refused", labels=("action", "reason"))
        for labels, count in sorted(self.refused.items()):
            refused.add_metric(labels, count)
        yield refused
        decided = CounterMetricFamily("ordain_permissions", "Decisions of policy about operators and hosts", labels=("about", "outcome"))
        for labels, count in sorted(self.decided.items()):
            decided.add_metric(labels, count)
        yield decided


def exposition(*collectors: Collector) -> Callable[[], bytes]:
    """Return a function that renders these collectors, and the process's own numbers, in Prometheus' text format."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    return lambda: generate_latest(registry)
