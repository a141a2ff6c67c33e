"""Timing: whole processes with what they and their children use, and samples with their spread."""

import math
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one process took: seconds on the clock, and of the processors, children included."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Several measurements of one thing, in its own unit."""

    values: tuple[float, ...]

    @property
    def least(self) -> float:
        """The smallest: what it costs when nobody else wants the machine."""
        return min(self.values)

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def most(self) -> float:
        """The largest."""
        return max(self.values)

    def percentile(self, share: float) -> float:
        """Return the smallest value that so great a share of all is not above (nearest rank)."""
        return sorted(self.values)[max(0, math.ceil(share * len(self.values)) - 1)]


def run(
    command: Sequence[str | Path], *, directory: Path, environment: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
) -> tuple[Cost, str]:
    """Run a program to its end; return its cost and what it printed. Raise `RuntimeError` if it ends with another code."""
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - begin, os.times()
    if done.returncode not in codes:
        message = f"{Path(command[0]).name} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"
        raise RuntimeError(message)
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall=wall, cpu=used), done.stdout


def several(measure: Callable[[], Cost], times: int) -> tuple[Sample, Sample]:
    """Return the clock's and the processors' seconds of so many runs."""
    costs = [measure() for _ in range(times)]
    return Sample(tuple(cost.wall for cost in costs)), Sample(tuple(cost.cpu for cost in costs))


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the line through (log size, log value) that fits best: 0 is flat, 1 is in proportion."""
    across, along = [math.log(size) for size in sizes], [math.log(value) for value in values]
    return statistics.linear_regression(across, along).slope


def interleaved(measures: Mapping[str, Callable[[], Cost]], times: int) -> dict[str, tuple[Sample, Sample]]:
    """Run several measurements turn by turn, so that a busy minute of the machine hits all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in measures}
    for _ in range(times):
        for name, measure in measures.items():
            costs[name].append(measure())
    return {name: (Sample(tuple(one.wall for one in found)), Sample(tuple(one.cpu for one in found))) for name, found in costs.items()}
