"""Run benchmarks: `python -m benchmarks [--quick|--full] [--results DIRECTORY] [NAME…]`; without names all of them, one after another."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    cold_check,
    commits,
    converging,
    listed,
    planned,
    publication,
    reaching,
    registry,
    replayed,
    resting,
    sizes,
    talking,
    wave_steps,
)
from benchmarks.report import RESULTS, Report

ITEMS: dict[str, Callable[..., Report]] = {
    "check": cold_check.measure,
    "commit": commits.measure,
    "sizes": sizes.measure,
    "rest": resting.measure,
    "publication": publication.measure,
    "listed": listed.measure,
    "plan": planned.measure,
    "backtest": replayed.measure,
    "registry": registry.measure,
    "waves": wave_steps.measure,
    "agent": reaching.one,
    "canary": reaching.canary,
    "converge": converging.measure,
    "news": talking.news,
    "checkins": talking.checkins,
    "outage": talking.return_home,
    "storm": talking.storm,
    "wire": talking.at_rest,
}
"""Name → what measures it; benchmarks/README.md says what each is about."""
LARGER = ("publication", "news", "outage")
"""Those that measure more with `--full`."""


def main() -> int:
    """Measure what is asked for, print a table for each and keep the figures; return 0 whether or not goals are reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(ITEMS)}")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that it works; nothing is kept unless --results says where"
    )
    parser.add_argument("--full", action="store_true", help="also the sizes that take more than ten minutes")
    parser.add_argument("--results", type=Path, help="directory for the figures [default: benchmarks/results]")
    asked = parser.parse_args()
    if unknown := set(asked.names) - ITEMS.keys():
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(ITEMS)}")
    results = asked.results or (None if asked.quick else RESULTS)
    for name in asked.names or ITEMS:
        begin = time.monotonic()
        report = ITEMS[name](quick=asked.quick, **({"full": asked.full} if name in LARGER else {}))
        print(report.text(), flush=True)
        if results is not None:
            print(f"  kept in {report.write(results).name}; took {time.monotonic() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
