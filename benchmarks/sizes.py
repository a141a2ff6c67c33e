"""d. Reconciling a commit of one file, by the number of manifests: it must cost what it touches, and not what there is."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import fleets
from benchmarks.commits import change
from benchmarks.installation import Installation
from benchmarks.measuring import Cost, Sample, slope
from benchmarks.report import Report
from reconciler import wiring
from reconciler.pipeline.loop import Progress, reconcile
from reconciler.pipeline.session import Parts, Session, resume
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import PIPELINE_PREFIXES, Scoped, open_store

SIZES, COMMITS = (1_000, 10_000, 30_000), 15
GOAL = 0.1
GOAL_IS_FOR = "a component changes"
"""A host more also has its tenant's controls written anew, one file a tenant: that is after its release, and grows with the tenant."""


def measure(*, quick: bool) -> Report:
    """Measure with 1,000, 10,000 and 30,000 manifests, or with 100 and 200 where it has to be quick."""
    sizes, commits = ((100, 200), 3) if quick else (SIZES, COMMITS)
    report = Report(
        name="sizes", title="reconciling a commit of one file, from fetch to approved release, by the number of manifests", quick=quick
    )
    found = {size: _reconciled(report, size, commits) for size in sizes}
    for kind in (GOAL_IS_FOR, "a host is added"):
        for number, unit in ((0, "ms"), (1, "ms of processors")):
            values = [found[size][kind][number] for size in sizes]
            for size, sample in zip(sizes, values, strict=True):
                report.add(f"{size} manifests, {kind}", sample, unit)
            steep = slope(sizes, [sample.median for sample in values])
            report.one(f"slope, {kind}", steep, f"log {unit} by log manifests")
            if kind == GOAL_IS_FOR:
                report.goal(f"slope, {kind}, {unit}", f"< {GOAL}", f"{steep:.3f}", reached=steep < GOAL)
    report.limits.append(
        "names and indexes are copied for each commit, at some 20 ns a name; an added host also has its tenant's controls written anew"
    )
    return report


def _reconciled(report: Report, size: int, commits: int) -> dict[str, tuple[Sample, Sample]]:
    planned = fleets.plan(size)
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        made = Installation(Path(name))
        fleets.commit(made.repository, dict(fleets.manifests(planned)))
        with _session(made) as (parts, session):
            first = _round(parts, session)
            report.one(f"{size} manifests, first import", first.wall, "s")
            changed = [_after(made, parts, session, change(planned, number, revision=number + 1)[0]) for number in range(commits)]
            added = [_after(made, parts, session, _host(planned, number)) for number in range(commits)]
    return {GOAL_IS_FOR: _samples(changed), "a host is added": _samples(added)}


def _host(planned: fleets.Plan, number: int) -> dict[str, str]:
    tenant, agent = f"tenant-{number % planned.tenants:02d}", planned.agents + number
    return {fleets.agent_path(tenant, agent): fleets.agent_text(tenant, agent, number % planned.fleets)}


@contextmanager
def _session(made: Installation) -> Iterator[tuple[Parts, Session]]:
    settings = made.settings
    parts = Parts(
        state=made.state,
        store=Scoped(inner=open_store(settings.store_url), write=PIPELINE_PREFIXES),
        ring=KeyRing(zone="pipeline", directory=settings.keys_directory / "pipeline"),
        mirror=wiring.mirror(settings),
        opa=Path(settings.policy.opa),
        make_keys=wiring.development(settings),
    )
    session = resume(parts)
    try:
        yield parts, session
    finally:
        session.close()


def _after(made: Installation, parts: Parts, session: Session, files: dict[str, str]) -> Cost:
    fleets.commit(made.repository, files)
    return _round(parts, session)


def _round(parts: Parts, session: Session) -> Cost:
    begin, used = time.perf_counter(), time.process_time()
    reconcile(parts, session, Progress())
    return Cost(wall=time.perf_counter() - begin, cpu=time.process_time() - used)


def _samples(costs: list[Cost]) -> tuple[Sample, Sample]:
    return Sample(tuple(cost.wall * 1000 for cost in costs)), Sample(tuple(cost.cpu * 1000 for cost in costs))
