"""What a relay says of itself to Prometheus."""

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.relay.relaying import Relay


class RelayCollector(Collector):
    """How the copies stand, what waits to be carried, and whether the uplink answers."""

    def __init__(self, relay: Relay) -> None:
        """Read its counts at each scrape."""
        self.relay = relay

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each number."""
        relay = self.relay
        ends = relay.shown.ends
        for name, text, value in (
            ("ordain_relay_uplink_up", "1 while the server answered the last question", int(relay.uplink.is_up)),
            ("ordain_relay_spool_bytes", "Bytes of reports that wait to be carried", relay.spool.size),
            ("ordain_relay_spool_share", "Share of the room for them that is used", relay.spool.fullness),
            ("ordain_relay_waiting", "Hosts that wait for news", relay.waiting.waiting),
            ("ordain_relay_connections", "Connections of hosts", relay.guards.connections),
            ("ordain_relay_certificate_seconds", "Seconds until the relay's certificate runs out", _seconds(ends)),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        versions = GaugeMetricFamily("ordain_relay_version", "Version of the copy of each fleet", labels=("fleet",))
        for fleet, version in sorted(relay.carried.versions.items()):
            versions.add_metric((fleet,), version)
        yield versions
        for name, text, counts in (
            ("ordain_relay_copies", "Copies by what became of them", relay.copies.counts),
            ("ordain_relay_reports", "Reports of hosts by what became of them", relay.taking.counts),
            ("ordain_relay_carried", "Reports that were brought to the server, by what became of them", relay.forwarding.counts),
        ):
            family = CounterMetricFamily(name, text, labels=("outcome",))
            for outcome, count in sorted(counts.items()):
                family.add_metric((outcome,), count)
            yield family
        refused = CounterMetricFamily("ordain_requests_refused", "Requests that were refused", labels=("route", "code"))
        for labels, count in sorted(relay.gate.refused.items()):
            refused.add_metric(labels, count)
        yield refused


def _seconds(ends: datetime | None) -> float:
    return (ends - datetime.now(UTC)).total_seconds() if ends else 0.0
