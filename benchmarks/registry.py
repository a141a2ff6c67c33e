"""h. Reports of 10,000 agents into the registry, on SQLite and on PostgreSQL, each transaction committed and fsynced."""

import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from agent.protocol.report import Batch, Event, FleetReport, Receipt, SignedReceipt
from benchmarks.measuring import Sample
from benchmarks.report import Report
from reconciler.control.registry.batches import Received, write_batches
from reconciler.control.registry.registry import Registry
from tests import postgresql_server

AGENTS, TIMES = 10_000, 5
TOGETHER = 2000
"""Batches of one transaction: what comes in while the one before is being written."""
GOAL = 10_000
"""Reports a second that are kept: 10,000 agents that all report within a second."""
BEGIN = datetime(2026, 11, 23, tzinfo=UTC)
Making = Callable[[str, int], Batch]


def measure(*, quick: bool) -> Report:
    """Measure with 10,000 agents, or with 200 where it has to be quick."""
    agents, times = (200, 1) if quick else (AGENTS, TIMES)
    report = Report(name="registry", title=f"reports of {agents} agents, {min(TOGETHER, agents)} in a transaction", quick=quick)
    with tempfile.TemporaryDirectory() as directory:
        _measure_on(report, "SQLite", f"sqlite:///{Path(directory).resolve()}/registry.db", agents, times)
    if postgresql_server.find() is None:
        report.goal("batches without news a second on PostgreSQL", f"{GOAL:,}", "there is no PostgreSQL", reached=None)
    else:
        with postgresql_server.running("fsync=on") as server:
            _measure_on(report, "PostgreSQL", server.url(server.database()), agents, times)
    report.limits.append("client and database share the machine; of a batch with news half the time is Python's JSON and SHA-256")
    return report


def _measure_on(report: Report, engine: str, url: str, agents: int, times: int) -> None:
    registry = Registry.open(url)
    try:
        registry.migrate()
        names = [f"web-{number:05}" for number in range(agents)]
        plain = _rates(registry, names, times, _nothing)
        report.add(f"{engine}: batches without news", plain, "a second")
        report.goal(f"batches without news a second on {engine}", f"{GOAL:,}", f"{plain.median:,.0f}", reached=plain.median >= GOAL)
        report.add(f"{engine}: batches with a receipt, a status and an event", _rates(registry, names, times, _news), "a second")
        report.add(f"{engine}: whole reports that say nothing new", _rates(registry, names, times, _whole), "a second")
        one = Sample(tuple(_seconds(registry, [names[number]], number + 1, _nothing) * 1000 for number in range(min(agents, 100))))
        report.add(f"{engine}: one batch in a transaction of its own", one, "ms", note="what an agent waits for at least")
    finally:
        registry.close()


def _rates(registry: Registry, names: Sequence[str], times: int, making: Making) -> Sample:
    found = []
    for round_ in range(times):
        slices = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
        found.append(len(names) / sum(_seconds(registry, one, 1000 + round_, making) for one in slices))
    return Sample(tuple(found))


def _seconds(registry: Registry, names: Sequence[str], sequence: int, making: Making) -> float:
    """Return how long a transaction takes; what is written is made before."""
    at = BEGIN + timedelta(seconds=sequence)
    batches = [Received(tenant="shop", agent=name, incarnation=1, batch=making(name, sequence), received_at=at) for name in names]
    begin = time.perf_counter()
    registry.write(write_batches, batches)
    return time.perf_counter() - begin


def _nothing(_: str, sequence: int) -> Batch:
    return Batch(format=1, sequence=sequence, sent_at="2026-11-23T12:00:00Z", version="1.0")


def _news(name: str, sequence: int) -> Batch:
    digest = sha256(f"{sequence}".encode()).hexdigest()
    receipt = Receipt(
        format=1,
        fleet="shop/web",
        agent=name,
        digest=digest,
        members=1,
        group="a",
        mode=None,
        attempt=1,
        serial=sequence,
        generation=sequence,
        result="applied",
        why="",
        at="2026-11-23T12:00:00Z",
    )
    return Batch(
        format=1,
        sequence=sequence,
        sent_at="2026-11-23T12:00:00Z",
        receipts=[SignedReceipt(receipt=receipt, certificate=digest, signature="MEUC" * 24)],
        statuses=[FleetReport(fleet="shop/web", result="applied", digest=digest, serial=sequence)],
        events=[Event(kind="drift", at="2026-11-23T12:00:00Z", fleet="shop/web", path="/etc/otelcol/config.yaml")],
    )


def _whole(_: str, sequence: int) -> Batch:
    status = FleetReport(fleet="shop/web", result="applied", digest="d")
    return Batch(format=1, sequence=sequence, sent_at="2026-11-23T12:00:00Z", whole=True, statuses=[status], facts={"os": "debian"})
