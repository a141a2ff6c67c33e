"""e. An agent at rest: memory, processor, and the bytes of a poll that finds nothing new, counted by a proxy in between.

Bytes are those of HTTP, headers included; without TLS, and without what TCP and IP add.
"""

import compileall
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent import at_rest
from benchmarks import fleets
from benchmarks.between import Exchange, counting
from benchmarks.installation import BIN, Installation, process
from benchmarks.measuring import Sample
from benchmarks.report import Report

PLAN = fleets.Plan(tenants=1, fleets=1, agents=3, artifacts=False)
TENANT, AGENT, ENROLLED = "tenant-00", "host-00000", "host-00001"
POLL, DEFAULT_POLL, SECONDS, SETTLE = 5.0, 30.0, 30.0, 6.0
"""The agent polls six times as often as it does by default, so that there is something to measure."""
PATIENCE = 60.0
APART = 1.0
"""Seconds between requests that belong to different polls."""
MEMORY_GOAL, PROCESSOR_GOAL, BYTES_GOAL = 45.0, 0.5, 600.0


def measure(*, quick: bool) -> Report:
    """Watch an agent for 30 s, or for 3 where it has to be quick."""
    poll, seconds, settle = (1.2, 3.0, 1.5) if quick else (POLL, SECONDS, SETTLE)
    report = Report(name="rest", title=f"an agent at rest, for {seconds:g} s", quick=quick)
    compileall.compile_dir(Path(at_rest.__file__).parent, quiet=1)  # as packages have it: compiling itself costs an agent a megabyte
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        made = Installation(Path(name))
        fleets.commit(made.repository, dict(fleets.manifests(PLAN)))
        with process(made) as address:
            made.await_fleets(PLAN.fleets)
            with counting(address) as (proxy, asked), _agent(made, proxy, poll) as agent:
                time.sleep(settle)
                _watch(report, agent, asked, poll, seconds)
            with _enrolled(made) as agent:
                time.sleep(settle)
                _watch_enrolled(report, agent, seconds)
    report.limits.append(
        "the Python interpreter with the TUF client and its cryptography is nearly all of the memory; headers are all of a poll"
    )
    return report


def _watch(report: Report, agent: int, asked: list[Exchange], poll: float, seconds: float) -> None:
    before, begin, known = _processor(agent), time.monotonic(), len(asked)
    time.sleep(seconds)
    share = (_processor(agent) - before) / (time.monotonic() - begin) * 100
    polls = _polls(asked[known:])
    memory = _memory(agent)
    report.one("resident memory", memory, "MB")
    report.one(f"processor, a poll each {poll:g} s", share, "% of a core")
    if polls:
        report.one(f"processor, a poll each {DEFAULT_POLL:g} s", share * poll / DEFAULT_POLL, "% of a core", note="by default; scaled")
        sizes = Sample(tuple(float(sum(one.received for one in requests)) for requests in polls))
        report.add("a poll without news, received", sizes, "bytes")
        report.add("of that, bodies", Sample(tuple(float(sum(one.body for one in requests)) for requests in polls)), "bytes")
        report.add("a poll without news, sent", Sample(tuple(float(sum(one.sent for one in requests)) for requests in polls)), "bytes")
        report.add("a poll without news", Sample(tuple(float(len(requests)) for requests in polls)), "requests")
        report.goal("a poll without news", f"< {BYTES_GOAL:g} B", f"{sizes.median:g} B", reached=sizes.median < BYTES_GOAL)
    report.goal("resident memory", f"< {MEMORY_GOAL:g} MB", f"{memory:.1f} MB", reached=memory < MEMORY_GOAL)
    report.goal("processor", f"< {PROCESSOR_GOAL} %", f"{share:.2f} %", reached=share < PROCESSOR_GOAL)


def _watch_enrolled(report: Report, agent: int, seconds: float) -> None:
    """Watch an agent that holds a request, reports and has a certificate."""
    before, begin = _processor(agent), time.monotonic()
    time.sleep(seconds)
    share = (_processor(agent) - before) / (time.monotonic() - begin) * 100
    memory = _memory(agent)
    report.one("enrolled: resident memory", memory, "MB")
    report.one(f"enrolled: processor, a look each {DEFAULT_POLL:g} s", share, "% of a core", note="a request held, heartbeats")
    report.goal("enrolled: resident memory", f"< {MEMORY_GOAL:g} MB", f"{memory:.1f} MB", reached=memory < MEMORY_GOAL)
    report.goal("enrolled: processor", f"< {PROCESSOR_GOAL} %", f"{share:.2f} %", reached=share < PROCESSOR_GOAL)


def _polls(asked: list[Exchange]) -> list[list[Exchange]]:
    """Return the requests by poll; the first and the last poll may be cut, so they are left out where there are more."""
    found: list[list[Exchange]] = []
    for request in asked:
        if not found or request.at - found[-1][-1].at > APART:
            found.append([])
        found[-1].append(request)
    return found[1:-1] if len(found) > 2 else found  # noqa: PLR2004 - the first, the last, and one between


def _processor(process_id: int) -> float:
    """Return the processor seconds of a process so far (proc(5): utime and stime are the 14th and 15th field)."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(process_id: int) -> float:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000


@contextmanager
def _enrolled(made: Installation) -> Iterator[int]:
    """Enrol another host by a token and run its agent; yield its process id once it holds what its fleet says."""
    root, state = made.directory / "enrolled", made.directory / "enrolled-agent"
    root.mkdir()
    said = (made.directory / "up.log").read_text()
    address = said.split("agents at ", 1)[1].split()[0]
    asked: list[str | Path] = [
        BIN / "ordain",
        "token",
        "create",
        "--tenant",
        TENANT,
        "--agent",
        ENROLLED,
        "--format",
        "json",
        "--state",
        made.state,
    ]
    made_token = subprocess.run(asked, check=True, capture_output=True)
    token = json.loads(made_token.stdout)["token"]
    joining: list[str | Path] = [BIN / "ordain-agent", "enroll", "--server", address, "--token", "-", "--state", state, "--root", root]
    subprocess.run(joining, check=True, capture_output=True, input=token.encode())
    with _run(made, [BIN / "ordain-agent", "run", "--state", state], root) as agent:
        yield agent


@contextmanager
def _agent(made: Installation, address: str, poll: float) -> Iterator[int]:
    """Run an agent under a root of its own; yield its process id once it holds what its fleet says."""
    root = made.directory / "root"
    root.mkdir()
    trust = made.state / "trust" / f"{TENANT}.root.json"
    command: list[str | Path] = [
        BIN / "ordain-agent",
        "run",
        "--server",
        address,
        "--root-metadata",
        trust,
        "--tenant",
        TENANT,
        "--name",
        AGENT,
    ]
    command += ["--root", root, "--state", made.directory / "agent", "--poll", str(poll)]
    with _run(made, command, root) as agent:
        yield agent


@contextmanager
def _run(made: Installation, command: Sequence[str | Path], root: Path) -> Iterator[int]:
    """Run a command that is an agent; yield its process id once its host holds what the fleet says."""
    with (made.directory / "agent.log").open("wb") as log:
        running = subprocess.Popen(command, stderr=log)
    try:
        begin = time.monotonic()
        while not (root / "etc" / fleets.component_name(0, 0) / "config.yaml").is_file():
            if running.poll() is not None or time.monotonic() - begin > PATIENCE:
                message = f"the agent applies nothing: {(made.directory / 'agent.log').read_text()[-500:]}"
                raise RuntimeError(message)
            time.sleep(0.05)
        yield running.pid
    finally:
        running.kill()
        running.wait(PATIENCE)
