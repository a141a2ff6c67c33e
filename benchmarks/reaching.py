"""From a commit to a real agent that has its release verified and applied, alone and as the canary of 100, and where the time goes.

The clock starts when `git commit` has ended. `ordain up`, and an enrolled `ordain-agent run` as it comes, are processes of their own; the
other hosts are simulated. Steps are told apart from outside, by when the files appear with which each of them ends, and by when the server
logs that it published.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from benchmarks.measuring import Sample
from benchmarks.report import Report
from benchmarks.talk_zone import until
from tests.e2e.installation import BIN
from tests.simulator.chances import Chances
from tests.simulator.simulation import TENANT, Plan, Simulation, simulated

COMMITS, REST = 30, 8.0
"""Seconds between a release that is stable for all and the next commit: a host that talks more than once a second for long is slowed down
by its server, and each release takes about nine requests."""
OTHERS = 200
"""Files of another tenant in the repository: OPAL's figure is of 201 policy files."""
LOOK, PATIENCE = 0.001, 120.0
OPAL_MS, CANARY_MS = (108.0, 132.0), 300.0
P95 = 0.95
STEPS = (
    "git: noticed and fetched",
    "judging and compiling",
    "signing and approving",
    "deciding and publishing",
    "waking, the news verified",
    "fetching, the release verified",
    "applying",
)


@dataclass(slots=True, kw_only=True)
class Figures:
    """Milliseconds of each commit: until the release is verified, until it is applied, and of each step."""

    verified: list[float] = field(default_factory=list)
    applied: list[float] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})


def one(*, quick: bool) -> Report:
    """Measure with one agent, the only host of its fleet."""
    report = Report(name="agent", title="a commit, until one real agent has it verified and applied", quick=quick)
    found = _measured(Plan(hosts=1, real=1, waves=(("all", 1.0),)), 3 if quick else COMMITS)
    _enter(report, found)
    p50 = Sample(tuple(found.verified)).median
    wanted = f"≤ {OPAL_MS[0]:g} to {OPAL_MS[1]:g} ms"
    report.goal("commit → verified, p50, OPAL's by webhook as it was noted", wanted, f"{p50:.0f} ms", reached=p50 <= OPAL_MS[1])
    report.limits.append(
        "OPAL 0.9.9 was measured on another day, on two cores of such a machine: 201 files, one client, whose OPA answers by the new policy"
    )
    return report


def canary(*, quick: bool) -> Report:
    """Measure the canary of 100 hosts."""
    hosts = 10 if quick else 100
    report = Report(name="canary", title=f"a commit, until the canary of {hosts} hosts has applied it", quick=quick)
    plan = Plan(hosts=hosts, real=1, waves=(("canary", 1 / hosts), ("rest", 1.0)), rate=1000)
    found = _measured(plan, 3 if quick else COMMITS)
    _enter(report, found)
    p95 = Sample(tuple(found.applied)).percentile(P95)
    report.goal("commit → first canary applied, p95", f"< {CANARY_MS:g} ms", f"{p95:.0f} ms", reached=p95 < CANARY_MS)
    report.limits.append(
        f"the other {hosts - 1} hosts are simulated, and are woken by the same news; the tenant's quota of reports is raised to "
        f"{plan.rate} a second, since releases follow one another within seconds here"
    )
    return report


def _enter(report: Report, found: Figures) -> None:
    for what, values in (("verified", found.verified), ("applied", found.applied)):
        sample = Sample(tuple(values))
        report.add(f"commit → {what}", sample, "ms", note=f"p95 {sample.percentile(P95):.0f}")
    whole = Sample(tuple(found.applied)).median
    for step, values in found.steps.items():
        sample = Sample(tuple(values))
        report.add(f"of that: {step}", sample, "ms", note=f"{sample.median / whole:.0%} of the median")
    report.limits.append("times of files are those of the kernel's coarse clock, which steps by up to 4 ms")


def _measured(plan: Plan, commits: int) -> Figures:
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        place = Path(name)
        with simulated(place, plan, Chances(verified=0.0)) as made, _agent(made, place) as agent:
            made.installation.commit(_others())
            for number in range(commits):
                made.wait("at rest", lambda: made.ask()["phase"] == "settled")
                time.sleep(REST)
                _once(made, agent, f"content {number}", figures)
    return figures


def _others() -> dict[str, str]:
    """Return manifests that have nothing to do with it."""
    head = "apiVersion: ordain.dev/v1\nkind: {kind}\nmetadata: {{name: {name}{more}}}\nspec: {{description: Of no concern}}\n"
    files = {
        f"tenants/lab/agents/lab-{number:03}.yaml": head.format(kind="Agent", name=f"lab-{number:03}", more=", tenant: lab")
        for number in range(OTHERS)
    }
    return files | {"tenants/lab/tenant.yaml": head.format(kind="Tenant", name="lab", more="")}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Agent:
    """The real agent's directories."""

    root: Path
    state: Path

    def newest(self, pattern: str) -> int:
        """Return when the newest cached file of a pattern appeared, 0 for none."""
        return _newest(self.state / "fleets" / "web" / "cache", pattern)


@contextmanager
def _agent(made: Simulation, place: Path) -> Iterator[_Agent]:
    """Enrol a real agent and run it; yield once it runs the first release."""
    name, found = made.plan.names[0], _Agent(root=place / "root", state=place / "agent")
    found.root.mkdir()
    token = made.server.ask("POST", f"/api/v1/tokens/{TENANT}", body={"agent": name, "ttl": 3600})["token"]
    command: list[str | Path] = [
        BIN / "ordain-agent",
        "enroll",
        "--server",
        made.server.url,
        "--token",
        "-",
        "--state",
        found.state,
        "--root",
        found.root,
    ]
    subprocess.run(command, input=token, text=True, check=True, capture_output=True)
    with (place / "agent.log").open("wb") as log:
        running = subprocess.Popen([BIN / "ordain-agent", "run", "--state", found.state], stderr=log)
    try:
        _until("the first release applied", (found.root / "etc/motd").is_file)
        yield found
    finally:
        running.terminate()
        running.wait(PATIENCE)


def _once(made: Simulation, agent: _Agent, word: str, figures: Figures) -> None:
    """Commit once, and enter when each step ended."""
    log, motd = made.installation.log, agent.root / "etc/motd"
    marks = _marks(made, agent)
    before, said = {step: mark() for step, mark in marks.items()}, log.stat().st_size
    made.release(word)
    begin = time.time_ns()
    _until("published", lambda: bool(_published(log, said)))
    ends = {STEPS[3]: _published(log, said)}
    for step in (STEPS[4], STEPS[5], STEPS[0], STEPS[1], STEPS[2]):
        _until(step, lambda step=step: marks[step]() != before[step])  # type: ignore[misc]
        ends[step] = marks[step]()
    _until("applied", lambda: motd.read_text() == word)
    ends[STEPS[6]] = motd.stat().st_ctime_ns
    figures.verified.append((ends[STEPS[5]] - begin) / 1e6)
    figures.applied.append((ends[STEPS[6]] - begin) / 1e6)
    for step in STEPS:
        figures.steps[step].append((ends[step] - begin) / 1e6)
        begin = ends[step]


def _marks(made: Simulation, agent: _Agent) -> Mapping[str, Callable[[], int]]:
    """Return what tells when a step ended last, for those that leave a file which stays."""
    state = made.installation.state
    approved = state / "store" / "approved"
    return {
        STEPS[0]: lambda: _newest(state / "mirror.git" / "refs" / "remotes" / "origin", "*"),
        STEPS[1]: lambda: _newest(approved / "_decisions", "*.json"),
        STEPS[2]: lambda: _newest(approved / TENANT / "web", "*.releases.json"),
        STEPS[4]: lambda: agent.newest("*.web.json"),
        STEPS[5]: lambda: agent.newest("*.tar.gz"),
    }


def _published(log: Path, begin: int) -> int:
    """Return when the server first said that it published, in its log from this byte on; 0 if it did not yet."""
    with log.open("rb") as stream:
        stream.seek(begin)
        lines = [json.loads(line) for line in stream if line.startswith(b"{") and line.endswith(b"}\n")]
    found = next((one["time"] for one in lines if one["message"] == "published"), "")
    return round(datetime.fromisoformat(found).timestamp() * 1e9) if found else 0


def _newest(directory: Path, pattern: str) -> int:
    found = 0
    for place in directory.glob(pattern):
        try:
            found = max(found, place.stat().st_ctime_ns)
        except FileNotFoundError:  # replaced, or dropped, meanwhile
            continue
    return found


def _until(what: str, holds: Callable[[], bool]) -> None:
    until(holds, what, patience=PATIENCE, every=LOOK)
