"""c. From a commit that touches one of 10,000 manifests to the moved timestamp, and where the time goes.

The clock starts when `git commit` has ended. Latency is measured from outside, on `ordain up` as a process; the parts are
timed in a second run, with the same loops as threads of this process.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import fleets
from benchmarks.installation import Installation, loops, process
from benchmarks.measuring import Sample, run
from benchmarks.report import Report
from benchmarks.timers import PARTS, timing
from reconciler.opa.program import find_opa

MANIFESTS, COMMITS, TIMED = 10_000, 30, 20
GOAL_MS, GOAL_OF_COLD = 250.0, 0.10
P50, P95 = 0.5, 0.95
ORDAIN = Path(sys.executable).with_name("ordain")


def measure(*, quick: bool) -> Report:
    """Measure with 10,000 manifests, or with 200 where it has to be quick."""
    count, commits, timed = (200, 3, 2) if quick else (MANIFESTS, COMMITS, TIMED)
    report = Report(
        name="commit", title=f"a commit that touches 1 of {count} manifests, until its fleet's timestamp has moved", quick=quick
    )
    planned = fleets.plan(count)
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        made = Installation(Path(name))
        fleets.commit(made.repository, dict(fleets.manifests(planned)))
        with process(made):
            report.one("first import, until all is published", made.await_fleets(planned.tenants * planned.fleets), "s")
            seen = _latencies(made, planned, commits)
        cold = _cold(made)
        parts = _parts(made, planned, timed)
    report.add("commit → published", seen, "ms")
    for what, share in (("p50", P50), ("p95", P95)):
        report.one(f"commit → published, {what}", seen.percentile(share), "ms")
    report.one("cold check of the same manifests", cold * 1000, "ms")
    for part, sample in parts.items():
        report.add(f"of that: {part}", sample, "ms", note="in a second run, timed from inside")
    p95 = seen.percentile(P95)
    report.goal("p95", f"< {GOAL_MS:g} ms", f"{p95:.0f} ms", reached=p95 < GOAL_MS)
    report.goal("p95 to a cold check", f"≤ {GOAL_OF_COLD}", f"{p95 / cold / 1000:.3f}", reached=p95 / cold / 1000 <= GOAL_OF_COLD)
    report.limits.append(
        "two zones that sign, write and fsync one after the other, and verify what the other wrote; none of it grows with the repository"
    )
    return report


def _latencies(made: Installation, planned: fleets.Plan, commits: int) -> Sample:
    found = []
    for number in range(commits):
        begin, end = made.commit(*change(planned, number, revision=number + 1))
        found.append((end - begin) * 1000)
        time.sleep(0.2)  # the loops finish what comes after publication: notes, and the mark that all is released
    return Sample(tuple(found))


def change(planned: fleets.Plan, number: int, *, revision: int) -> tuple[dict[str, str], str, str]:
    """Return the files of a commit to one component, and the tenant and fleet that it changes: another one for each number."""
    tenant = f"tenant-{number % planned.tenants:02d}"
    fleet = number // planned.tenants % planned.fleets
    name = fleets.component_name(fleet, 1)
    text = fleets.component_text(tenant, name, revision=revision, artifacts=planned.artifacts)
    return {fleets.component_path(tenant, fleet, 1): text}, tenant, fleets.fleet_name(fleet)


def _cold(made: Installation) -> float:
    """Return the seconds of one cold check of the repository."""
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as cache:
        environment = {**os.environ, "ORDAIN_OPA": str(find_opa()), "ORDAIN_CACHE": cache}
        return run([ORDAIN, "check", made.repository], directory=made.directory, environment=environment)[0].wall


def _parts(made: Installation, planned: fleets.Plan, commits: int) -> dict[str, Sample]:
    """Return milliseconds of each part, and of all the rest, for each commit."""
    found: dict[str, list[float]] = {part: [] for part in (*PARTS, "ordain itself", "all of it")}
    with timing() as timers, loops(made):
        for number in range(commits):
            begin, end = made.commit(*change(planned, number, revision=1000 + number))
            parts = timers.between(begin, end)
            parts["ordain itself"] = end - begin - sum(parts.values())
            parts["all of it"] = end - begin
            for part, seconds in parts.items():
                found[part].append(seconds * 1000)
            time.sleep(0.2)
    return {part: Sample(tuple(values)) for part, values in found.items()}
