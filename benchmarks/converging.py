"""How long 1,000 simulated agents take to converge once the last gate is open.

From the approval of the wave that admits the rest, until each of them has told that it runs the release and the server keeps that. A real
`ordain up` as a process; the agents are in this one (`tests/simulator`): they wait over mutual TLS, fetch the release, and report with
receipts that their own keys signed. A share of them verifies with the real agent's TUF client.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Sample
from benchmarks.report import Report
from benchmarks.talk_zone import processor_of
from tests.simulator.chances import Chances
from tests.simulator.simulation import Plan, Simulation, simulated

AGENTS, ROUNDS, VERIFIED = 1000, 5, 0.01
P95 = 0.95
REST = 45.0
"""Seconds between rounds: the server lets each agent of a tenant ask once in ten seconds in the long run, and some times more at once."""
GOAL = 5.0


def measure(*, quick: bool) -> Report:
    """Measure with 1,000 agents, or with 20 where it has to be quick."""
    agents, rounds, rest = (20, 2, 0.5) if quick else (AGENTS, ROUNDS, REST)
    report = Report(
        name="converge", title=f"from the last gate until {agents} simulated agents run the release and have told so", quick=quick
    )
    plan = Plan(hosts=agents, waves=(("canary", 0.05), ("rest", 1.0)), approved=("rest",))
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name, simulated(Path(name), plan, Chances(verified=VERIFIED)) as made:
        found = [_round(made, number, rest) for number in range(rounds)]
        tally, verifying = made.population.tally, made.population.verifying
    every = Sample(tuple(seconds for one, _ in found for seconds in one))
    report.add("the gate opens, until an agent has told", every, "s", note=f"p95 {every.percentile(P95):.2f}")
    report.add("the gate opens, until the last agent has told", Sample(tuple(max(one) for one, _ in found)), "s")
    report.add("processor of the server for that", Sample(tuple(used for _, used in found)), "s")
    report.one(
        "agents that verify with the real client", verifying, "agents", note=f"{tally.verified} times, refused {len(tally.unverified)}"
    )
    report.one("refused by the server for asking too often", sum(tally.refusals.values()), "times")
    p95 = every.percentile(P95)
    report.goal(f"{agents} agents converge, p95", f"< {GOAL:g} s", f"{p95:.2f} s", reached=p95 < GOAL)
    report.limits.append(
        "agents and server share the cores, and what an agent does in this process takes longer than what the server does for it"
    )
    return report


def _round(made: Simulation, number: int, rest: float) -> tuple[list[float], float]:
    """Have one release go out; return the seconds of each agent behind the gate, and those of the server's processor."""
    time.sleep(rest)
    commit = made.release(f"content {number}")
    made.wait("the canary has proved itself", lambda: _waits(made, commit))
    digest = str(made.ask()["candidate"])
    canary = made.population.tally.hosts(digest)
    process = made.installation.process
    assert process is not None  # noqa: S101 - it runs
    used, begin = processor_of(process.pid), time.monotonic()
    made.order("approve")
    made.ends(commit)
    made.wait("all have told", lambda: made.population.have(digest) == made.plan.hosts)
    took = {one.host: one.told_at - begin for one in made.population.tally.of(digest) if one.host not in canary}
    return list(took.values()), processor_of(process.pid) - used


def _waits(made: Simulation, commit: str) -> bool:
    """Return whether a commit's release waits for approval."""
    found = made.ask()
    return bool(found["commit"] == commit and any(one["kind"] == "approval" for one in found["holds"]))
