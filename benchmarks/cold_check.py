"""a, b. A whole cold `ordain check`, against conftest with the same rules, and against its own second run.

ordain does more in that time: it validates against schemas, resolves what manifests say of one another and compiles every fleet.
conftest is measured in two shapes: each rule a package of its own, as ordain and large rule libraries have them,
and the first ten rules as one package, which is the shape that it likes best.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import fleets, peers, rules
from benchmarks.measuring import Cost, Sample, interleaved, run
from benchmarks.report import Report
from reconciler.opa.program import find_opa

ORDAIN = Path(sys.executable).with_name("ordain")
MANIFESTS, FEWER, RUNS = 10_000, 1_000, 3
"""conftest takes 90 s for 10,000 manifests by 30 packages, so it gets 1,000, and its time is multiplied by ten: it is linear."""
PACKAGES_GOAL, ONE_PACKAGE_GOAL, SECOND_GOAL = 0.05, 0.25, 0.10


def measure(*, quick: bool) -> Report:
    """Measure with 10,000 manifests, or with 200 where it has to be quick."""
    many, few, times = (200, 100, 1) if quick else (MANIFESTS, FEWER, RUNS)
    report = Report(name="check", title=f"ordain check of {many} manifests, as a whole cold process", quick=quick)
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        root = Path(name)
        _prepare(root, many, few)
        conftest = None if quick else peers.conftest()
        _same_findings(root, conftest)
        _measure(report, root, conftest, many=many, few=few, times=times)
    report.limits += [
        "reading is done by several processes; joining and compiling 10,000 manifests by one, while OPA judges beside",
        "by all rules that ordain brings, OPA is what is waited for: 1.5 ms for a component, 0.3 for an agent",
    ]
    return report


def _prepare(root: Path, many: int, few: int) -> None:
    """Write both repositories, once with 30 and once with 10 rules, and conftest's rules in both shapes."""
    for size, count in ((many, len(rules.CHECKS)), (many, rules.FEW), (few, len(rules.CHECKS))):
        fleets.write(root / f"{size}-{count}", dict(fleets.manifests(fleets.plan(size))) | rules.of_ordain(count))
    fleets.write(root / "own", dict(fleets.manifests(fleets.plan(many))))
    fleets.write(root / "packages", rules.of_conftest(len(rules.CHECKS), packages=True))
    fleets.write(root / "one-package", rules.of_conftest(rules.FEW, packages=False))
    fleets.write(
        root / "faulty", {"ordain.yaml": fleets.REPOSITORY} | rules.of_ordain(len(rules.CHECKS)) | rules.faulty("tenants/tenant-00")
    )


def _same_findings(root: Path, conftest: Path | None) -> None:
    """See that both sides find all thirty faults in a manifest that breaks every rule; raise `RuntimeError` if they don't."""
    wanted = {check.name for check in rules.CHECKS}
    _, said = run([ORDAIN, "check", "--format", "json", root / "faulty"], directory=root, environment=_fresh(root), codes=(1,))
    found = {
        one["rule"].removeprefix("bench/").replace("-", "_") for one in json.loads(said)["verdicts"] if one["rule"].startswith("bench/")
    }
    if found != wanted:
        message = f"ordain finds {sorted(found ^ wanted)} otherwise than it should: mend benchmarks/rules.py"
        raise RuntimeError(message)
    if conftest is not None:
        command: list[str | Path] = [
            conftest,
            "test",
            "--output",
            "json",
            "--all-namespaces",
            "-p",
            root / "packages",
            root / "faulty" / "tenants",
        ]
        _, said = run(command, directory=root, codes=(1,))
        told = {failure["msg"] for one in json.loads(said) for failure in one.get("failures", ())}
        if told != wanted:
            message = f"conftest finds {sorted(told ^ wanted)} otherwise than it should: mend benchmarks/rules.py"
            raise RuntimeError(message)


def _fresh(root: Path) -> dict[str, str]:
    """Return an environment with an empty cache, so that a run is cold, and the OPA that is there already."""
    return {**os.environ, "ORDAIN_OPA": str(find_opa()), "ORDAIN_CACHE": tempfile.mkdtemp(dir=root)}


def _ordain(root: Path, directory: str, environment: dict[str, str] | None = None) -> Callable[[], Cost]:
    return lambda: run([ORDAIN, "check", root / directory], directory=root, environment=environment or _fresh(root))[0]


def _measure(report: Report, root: Path, conftest: Path | None, *, many: int, few: int, times: int) -> None:
    all_rules = len(rules.CHECKS)
    names = {"all": f"ordain, {many} manifests, {all_rules} rules", "few": f"ordain, {many} manifests, {rules.FEW} rules"}
    measures = {names["all"]: _ordain(root, f"{many}-{all_rules}"), names["few"]: _ordain(root, f"{many}-{rules.FEW}")}
    if conftest is not None:
        names["packages"] = f"conftest, {few} manifests, {all_rules} packages"
        names["one"] = f"conftest, {many} manifests, one package of {rules.FEW} rules"
        shapes: tuple[tuple[str, int, str, list[str]], ...] = (
            ("packages", few, "packages", ["--all-namespaces"]),
            ("one", many, "one-package", []),
        )
        for shape, size, policies, more in shapes:
            command = [conftest, "test", *more, "-p", root / policies, root / f"{size}-{all_rules}" / "tenants"]
            measures[names[shape]] = lambda command=command: run(command, directory=root)[0]  # type: ignore[misc]
    found = interleaved(measures, times)
    for name, (wall, cpu) in found.items():
        report.add(name, wall, "s")
        report.add(name, cpu, "s of processors")
    if conftest is not None:
        report.limits.append(f"compared with {peers.version(conftest)}")
        scale = many / few
        _ratio(report, "of conftest with 30 packages", found[names["all"]], found[names["packages"]], PACKAGES_GOAL, scale=scale)
        _ratio(report, "of conftest with one package", found[names["few"]], found[names["one"]], ONE_PACKAGE_GOAL)
    _second(report, root, f"{many}-{all_rules}", found[names["all"]], times)
    alone = _ordain(root, "own")()
    report.one(f"ordain, {many} manifests, all rules that it brings", alone.wall, "s")
    report.one(f"ordain, {many} manifests, all rules that it brings", alone.cpu, "s of processors")


Samples = tuple[Sample, Sample]


def _ratio(report: Report, what: str, ours: Samples, theirs: Samples, goal: float, *, scale: float = 1.0) -> None:
    wall = ours[0].median / theirs[0].median / scale
    cpu = ours[1].median / theirs[1].median / scale
    note = "their time for 1,000, ten times" if scale > 1 else ""
    report.one(f"ratio {what}", wall, "of the time", note=note)
    report.one(f"ratio {what}", cpu, "of the processors", note=note)
    report.goal(f"time {what}", f"≤ {goal}", f"{wall:.3f}", reached=wall <= goal)


def _second(report: Report, root: Path, directory: str, first: Samples, times: int) -> None:
    """Measure runs that find the cache of an earlier one."""
    environment = _fresh(root)
    again = _ordain(root, directory, environment)
    again()
    costs = [again() for _ in range(times)]
    wall, cpu = Sample(tuple(one.wall for one in costs)), Sample(tuple(one.cpu for one in costs))
    report.add("ordain again, nothing changed", wall, "s")
    report.add("ordain again, nothing changed", cpu, "s of processors")
    _edit(root / directory)
    edited = again()
    report.one("ordain again, one manifest changed", edited.wall, "s")
    report.one("ordain again, one manifest changed", edited.cpu, "s of processors")
    ratio = wall.median / first[0].median
    report.one("ratio of the second run to the first", ratio, "of the time")
    report.goal("second run", f"≤ {SECOND_GOAL}", f"{ratio:.3f}", reached=ratio <= SECOND_GOAL)


def _edit(repository: Path) -> None:
    """Change one component."""
    tenant, name = "tenant-00", fleets.component_name(0, 0)
    fleets.write(repository, {fleets.component_path(tenant, 0, 0): fleets.component_text(tenant, name, revision=1)})
