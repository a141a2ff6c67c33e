"""The tables of docs/benchmarks.md, made from the newest results: `python -m benchmarks.page` writes them anew.

They stand between the lines `<!-- figures: NAME -->` and `<!-- end -->`; the words around them are people's.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_TABLE = re.compile(r"(<!-- figures: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
_WORDS = {True: "reached", False: "**missed**", None: "not measured"}


def written(page: str, results: Path = RESULTS) -> str:
    """Return the page with the tables of the newest results in it; raise `FileNotFoundError` where a benchmark has none."""
    return _TABLE.sub(lambda found: found[1] + _tables(_newest(results, found[2])), page)


def _newest(results: Path, name: str) -> Mapping[str, Any]:
    found = sorted(results.glob(f"*-{name}.json"))
    if not found:
        message = f"no results of {name} in {results}"
        raise FileNotFoundError(message)
    newest: dict[str, Any] = json.loads(found[-1].read_text())
    return newest


def _tables(result: Mapping[str, Any]) -> str:
    goals = ["| goal | wanted | found | |", "|---|---|---|---|"]
    goals += [f"| {one['what']} | {one['wanted']} | {one['found']} | {_WORDS[one['reached']]} |" for one in result["goals"]]
    rows = ["| figure | unit | least | median | most | runs |", "|---|---|---|---|---|---|"]
    rows += [_row(one) for one in result["rows"]]
    load = " and ".join(f"{one:g}" for one in result["load"])
    machine = result["machine"]
    where = f"{machine['cores']} cores ({machine['processor']}), {machine['memory']}, Python {machine['python']}"
    return "\n".join(
        ["", f"{result['date']}, {where}; the load was {load} at the beginning and at the end.", "", *goals, "", *rows, "", ""]
    )


def _row(one: Mapping[str, Any]) -> str:
    what = f"{one['what']} ({one['note']})" if one["note"] else one["what"]
    return f"| {what} | {one['unit']} | {one['least']:g} | {one['median']:g} | {one['most']:g} | {one['runs']} |"


def main() -> None:
    """Write the tables anew."""
    PAGE.write_text(written(PAGE.read_text()))


if __name__ == "__main__":
    main()
