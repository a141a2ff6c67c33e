"""Time `ordain check` as a whole cold process: start, read, judge by a managed OPA, print, end.

Usage: python benchmarks/check.py [DIRECTORY] [RUNS]
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "fleet-repo"
RUNS = 7
"""Odd, so that the median is a run; the first warms the disk's cache and counts like the others."""


def _seconds(directory: Path) -> float:
    begin = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("ordain")), "check", str(directory)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main(directory: str = str(EXAMPLE), runs: str = str(RUNS)) -> None:
    """Print minimum, median and maximum of so many runs, in milliseconds."""
    if not Path(directory).is_dir():
        sys.exit(f"benchmarks/check.py: no directory {directory}: name a fleet repository that passes")
    times = sorted(_seconds(Path(directory)) * 1000 for _ in range(int(runs)))
    print(
        f"ordain check {Path(directory).name}, {runs} cold processes: "
        f"min {times[0]:.0f} ms, median {statistics.median(times):.0f} ms, max {times[-1]:.0f} ms"
    )
    print("Comparisons with peers and runs at fleet size come with a later issue: benchmarks/README.md")


if __name__ == "__main__":
    main(*sys.argv[1:3])
