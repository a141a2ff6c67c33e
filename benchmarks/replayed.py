"""i. `ordain policy backtest` of one rule over a history, against conftest run at each of its commits.

conftest is given a checked-out tree, which costs it nothing here, and is timed at some commits; what it takes for all of them is the
median multiplied. ordain is a whole process that begins with nothing remembered.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import fleets, peers, rules
from benchmarks.measuring import Cost, run, several
from benchmarks.report import Report
from reconciler.opa.program import find_opa

ORDAIN = Path(sys.executable).with_name("ordain")
MANIFESTS, COMMITS, SAMPLES, RUNS = 2_000, 1_000, 5, 3
RULE = "bench/world-writable"
ONE = 1
"""The first of the rules alone, on both sides."""
FAULTY = 100
"""Every so many commits, one brings what the rule refuses, so that both can be seen to find it."""
GOAL = 100


def measure(*, quick: bool) -> Report:
    """Measure 1,000 commits of 2,000 manifests, or 20 of 200 where it has to be quick."""
    manifests, commits, samples, times = (200, 20, 1, 1) if quick else (MANIFESTS, COMMITS, SAMPLES, RUNS)
    report = Report(name="backtest", title=f"One rule replayed over {commits} commits of {manifests} manifests", quick=quick)
    conftest = None if quick else peers.conftest()
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        root, aside = Path(name) / "fleets", Path(name) / "conftest"
        brought = _history(root, fleets.plan(manifests), commits)
        environment = {**os.environ, "ORDAIN_OPA": str(find_opa())}
        caches = iter(range(times + 1))

        def ordain() -> Cost:
            return _replay(root, {**environment, "ORDAIN_CACHE": str(Path(name) / f"cache-{next(caches)}")}, brought)

        wall, used = several(ordain, times)
        report.add("ordain, all of it, nothing remembered", wall, "s")
        report.add("ordain, all of it, nothing remembered", used, "s of processors")
        again = _replay(root, {**environment, "ORDAIN_CACHE": str(Path(name) / "cache-0")}, brought)
        report.one("ordain, once more", again.wall, "s")
        if conftest is not None:
            rules_of = aside / "policy"
            fleets.write(rules_of, rules.of_conftest(ONE, packages=False))
            one, busy = several(lambda: _conftest(conftest, root, rules_of), samples)
            report.add("conftest, one commit that is checked out", one, "s", note=peers.version(conftest))
            report.add("conftest, one commit that is checked out", busy, "s of processors")
            report.one("processors that conftest takes for each of ordain's", busy.median * commits / used.median, "times")
            _compare(report, one.median * commits, wall.median, commits)
    report.limits += [
        "conftest is not run at all commits: the median of some is multiplied by their number, and checking out is left out",
        "a commit changes three manifests; a history that rewrites all of them in each commit gains nothing by judging versions once",
    ]
    return report


def _compare(report: Report, conftest: float, ordain: float, commits: int) -> None:
    factor = conftest / ordain
    report.one(f"conftest, {commits} commits, multiplied", conftest, "s")
    report.goal("faster than conftest at each commit", f"at least {GOAL} times", f"{factor:.0f} times", reached=factor >= GOAL)


def _history(root: Path, planned: fleets.Plan, commits: int) -> Sequence[str]:
    """Make a history of small commits; return those that the rule refuses."""
    fleets.commit(root, {**dict(fleets.manifests(planned)), **rules.of_ordain(ONE)})
    brought = []
    for number in range(1, commits):
        changed = {}
        for step in range(3):
            tenant, fleet = f"tenant-{(number + step) % planned.tenants:02d}", (number // planned.tenants + step) % planned.fleets
            name = fleets.component_name(fleet, step)
            text = fleets.component_text(tenant, name, revision=number)
            bad = number % FAULTY == FAULTY // 10 and step == 0
            changed[fleets.component_path(tenant, fleet, step)] = text.replace("0640", "0666") if bad else text
            brought += [number] if bad else []
        fleets.commit(root, changed)
    shas = fleets.git(root, "rev-list", "--reverse", "HEAD").split()
    return [shas[number] for number in brought]


def _replay(root: Path, environment: dict[str, str], brought: Sequence[str]) -> Cost:
    """Replay, and see that just the right commits are named; raise `RuntimeError` if not."""
    command: list[str | Path] = [ORDAIN, "policy", "backtest", RULE, str(root), "--since", "3650d", "--format", "json"]
    cost, told = run(command, directory=root, environment=environment)
    if json.loads(told)["refused"] != list(brought):
        message = f"the replay names other commits than those that were made to be refused: {json.loads(told)['refused']}"
        raise RuntimeError(message)
    return cost


def _conftest(program: Path, root: Path, rules_of: Path) -> Cost:
    command: list[str | Path] = [program, "test", "--policy", rules_of, "--output", "json", root / "tenants"]
    cost, _ = run(command, directory=root, codes=(0, 1))
    return cost
