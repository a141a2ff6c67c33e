"""h. `ordain plan` of 10 changed manifests among 10,000, as a whole process, with what earlier runs remembered.

Each run plans another change: what is known from before is the base, never the change itself. After it, `ordain check` of the same files
says what one more edit costs whoever judges all of it.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import fleets
from benchmarks.measuring import Cost, Sample, run, several
from benchmarks.report import Report
from reconciler.opa.program import find_opa

ORDAIN = Path(sys.executable).with_name("ordain")
MANIFESTS, CHANGED, RUNS = 10_000, 10, 9
GOAL = 1.5


def measure(*, quick: bool) -> Report:
    """Measure with 10,000 manifests, or with 200 where it has to be quick."""
    count, times = (200, 1) if quick else (MANIFESTS, RUNS)
    report = Report(name="plan", title=f"ordain plan of {CHANGED} changed manifests among {count}, as a whole process", quick=quick)
    planned = fleets.plan(count)
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        root = Path(name) / "fleets"
        fleets.write(root, dict(fleets.manifests(planned)))
        fleets.git(root, "init", "--quiet", "--initial-branch", "main")
        fleets.git(root, "add", "--all")
        fleets.git(root, "commit", "--quiet", "--message", "All of it")
        environment = {**os.environ, "ORDAIN_OPA": str(find_opa()), "ORDAIN_CACHE": str(Path(name) / "cache")}
        revisions = iter(range(1, times + 2))

        checks: list[Cost] = []

        def once() -> Cost:
            cost = _plan(root, planned, next(revisions), environment)
            checks.append(run([ORDAIN, "check", root], directory=root, environment=environment)[0])
            return cost

        cold = once()
        wall, used = several(once, times)
    report.one("the first, with nothing remembered", cold.wall, "s")
    report.add("another change, with the base remembered", wall, "s")
    report.add("another change, with the base remembered", used, "s of processors")
    report.add("a check of all of it after that", Sample(tuple(one.wall for one in checks[1:])), "s")
    report.add("a check of all of it after that", Sample(tuple(one.cpu for one in checks[1:])), "s of processors")
    report.goal("warm, on the clock", f"< {GOAL:g} s", f"{wall.least:.2f} s", reached=wall.least < GOAL)
    report.goal("warm, of the processors (OPA's part too)", f"< {GOAL:g} s", f"{used.least:.2f} s", reached=used.least < GOAL)
    report.limits += [
        "starting Python and importing take nearly half, listing files and taking up the base a quarter; the change itself the rest",
        "goals are held against the least run, since other work on the machine only ever adds",
    ]
    return report


def _plan(root: Path, planned: fleets.Plan, revision: int, environment: dict[str, str]) -> Cost:
    """Change a component of each of ten fleets, plan that, and see that just those fleets are hit; raise `RuntimeError` if not."""
    changed = [(number % planned.tenants, number // planned.tenants % planned.fleets) for number in range(CHANGED)]
    for tenant, fleet in changed:
        name = fleets.component_name(fleet, 1)
        text = fleets.component_text(f"tenant-{tenant:02d}", name, revision=revision, artifacts=planned.artifacts)
        (root / fleets.component_path(f"tenant-{tenant:02d}", fleet, 1)).write_text(text)
    cost, told = run([ORDAIN, "plan", root, "--format", "json"], directory=root, environment=environment)
    hit = {one["fleet"] for one in json.loads(told)["fleets"]}
    if hit != {f"tenant-{tenant:02d}/{fleets.fleet_name(fleet)}" for tenant, fleet in changed}:
        message = f"the plan hits other fleets than those that were changed: {sorted(hit)}"
        raise RuntimeError(message)
    return cost
