"""Simulate a fleet in one process, against a real `ordain up`: one release, wave by wave, and what became of it.

python -m tests.simulator --agents 300 --failing 0.02 --silent 0.01 --away 0.05 --clocks 0.1 --drops 1 --latency 0.05 --seed 7
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Sample
from tests.simulator.chances import Chances
from tests.simulator.simulation import Plan, Simulation, Wave, simulated

HEADS = ("wave", "may have it", "took it", "applied", "failed", "silent", "first s", "p50 s", "p95 s", "last s")
SHARES = {
    "failing": "share of hosts on which the release fails, and says so",
    "silent": "share of hosts that take the release and are never heard of again",
    "away": "share of hosts that are gone when the release is made",
    "clocks": "share of hosts whose clocks are off, by up to twelve hours",
    "verified": "share of hosts that verify with the agent's own TUF client",
}
SECONDS = {
    "drops": "lost connections of a host in a minute",
    "latency": "mean seconds of a request on its way",
    "applying": "mean seconds until a release is applied",
    "back": "seconds after which those that were away come back",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one simulation, and print what happened; return 1 where something happened that must not."""
    plain = Chances()
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=100, help="how many hosts [100]")
    parser.add_argument("--seed", type=int, default=plain.seed, help="of the dice by which hosts fail, and when lines are lost [1]")
    parser.add_argument("--threshold", type=float, default=0.95, help="share of hosts that must be healthy for a wave to go on [0.95]")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds until a host that says nothing has failed [60]")
    for name, text in (SHARES | SECONDS).items():
        parser.add_argument(f"--{name}", type=float, default=getattr(plain, name), help=f"{text} [{getattr(plain, name):g}]")
    asked = parser.parse_args(arguments)
    chances = Chances(seed=asked.seed, **{name: getattr(asked, name) for name in SHARES | SECONDS})
    plan = Plan(hosts=asked.agents, threshold=asked.threshold, timeout=asked.timeout)
    with tempfile.TemporaryDirectory(prefix="ordain-simulated-") as directory, simulated(Path(directory), plan, chances, _say) as made:
        found, seconds = rolled_out(made)
        wrong = _told(made, found, seconds)
    for line in wrong:
        _say(f"WRONG: {line}")
    return 1 if wrong else 0


def rolled_out(made: Simulation) -> tuple[Mapping[str, Any], float]:
    """Have a release go out while those that are away are away; return how the server says that it ended, and after how many seconds."""
    population = made.population
    away = [name for name, host in population.hosts.items() if host.fate.away]
    population.leave(away)
    commit, begin = made.release("second"), time.monotonic()
    returning = threading.Timer(population.chances.back, population.start, [away])
    returning.start()
    try:
        found, seconds = made.ends(commit), time.monotonic() - begin
    finally:
        returning.cancel() if not away else returning.join()
    return found, seconds


def settled(made: Simulation, found: Mapping[str, Any]) -> int:
    """Wait until every host that is heard of runs what it should after the end; return how many those are."""
    digest, back = str(found["stable"]), found["phase"] == "stopped"
    hosts = made.population.hosts
    took = made.population.tally.hosts(str(found["refused"])) if back else frozenset()
    lost = {name for name, host in hosts.items() if host.fate.silenced and (name in took or not back)}
    broken = set() if back else {name for name, host in hosts.items() if host.fate.fails}
    wanted = hosts.keys() - lost - broken
    made.wait("what all should run in the end", lambda: {one.host for one in made.population.tally.of(digest) if one.told_at} >= wanted)
    return len(wanted)


def _told(made: Simulation, found: Mapping[str, Any], seconds: float) -> list[str]:
    """Print what happened; return what must not have."""
    digest = str(found["refused"] if found["phase"] == "stopped" else found["stable"])
    for row in (HEADS, *map(_row, made.waves(digest))):
        _say("  ".join(cell.rjust(len(head)) for cell, head in zip(row, HEADS, strict=True)))
    for event in reversed(found["events"]):
        if event["digest"] == digest:
            _say(f"{event['at']} {event['kind']}: {event['why']}")
    _say(f"after {seconds:.1f} s: {', '.join(filter(None, (found['phase'], found['why'])))}")
    _say(f"all {settled(made, found)} hosts that can run what they should in the end")
    tally, population = made.population.tally, made.population
    share = population.verifying / len(population.hosts)
    _say(
        f"{population.verifying} hosts ({share:.1%}) verified {tally.verified} answers with the agent's TUF client, and it refused "
        f"{len(tally.unverified)}; {tally.believed} answers were read by digests alone"
    )
    slowed = ", ".join(f"{count} times {what}" for what, count in sorted(tally.refusals.items()))
    _say(f"lines that were lost: {tally.drops} cut, {tally.broken} found broken; refused by the server: {slowed or 'nothing'}")
    return [*made.out_of_bounds(digest), *population.troubles, *tally.unverified]


def _row(wave: Wave) -> Sequence[str]:
    sample = Sample(tuple(wave.seconds)) if wave.seconds else None
    times = [f"{one:.2f}" for one in (sample.least, sample.median, sample.percentile(0.95), sample.most)] if sample else ["-"] * 4
    return [wave.name, *map(str, (wave.bound, wave.took, wave.applied, wave.failed, wave.silent)), *times]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
