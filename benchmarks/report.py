"""What a benchmark found: a table for people, and a file that says on which machine it was."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.measuring import Sample

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured thing: minimum, median and maximum in `unit`."""

    what: str
    unit: str
    least: float
    median: float
    most: float
    runs: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What was aimed at, and whether it was reached; `reached` is None where the part is not there yet."""

    what: str
    wanted: str
    found: str
    reached: bool | None


@dataclass(slots=True, kw_only=True)
class Report:
    """The outcome of one benchmark. `limits` says what keeps each figure from being smaller."""

    name: str
    title: str
    quick: bool
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    load: list[float] = field(default_factory=lambda: [machine.busy()])

    def add(self, what: str, sample: Sample, unit: str, *, note: str = "") -> None:
        """Enter a sample."""
        self.rows.append(
            Row(
                what=what,
                unit=unit,
                least=_short(sample.least),
                median=_short(sample.median),
                most=_short(sample.most),
                runs=len(sample.values),
                note=note,
            )
        )

    def one(self, what: str, value: float, unit: str, *, note: str = "") -> None:
        """Enter a single figure."""
        self.add(what, Sample((value,)), unit, note=note)

    def goal(self, what: str, wanted: str, found: str, *, reached: bool | None) -> None:
        """Enter what was aimed at."""
        self.goals.append(Goal(what=what, wanted=wanted, found=found, reached=reached))

    def text(self) -> str:
        """Return the table."""
        head = ["", "unit", "min", "median", "max", "runs", ""]
        body = [[one.what, one.unit, f"{one.least:g}", f"{one.median:g}", f"{one.most:g}", str(one.runs), one.note] for one in self.rows]
        lines = [
            f"{self.name}. {self.title}{' (quick: sizes of a test, no figures to quote)' if self.quick else ''}",
            *_columns([head, *body]),
        ]
        words = {True: "reached", False: "MISSED", None: "not yet"}
        lines += [f"  {words[one.reached]}: {one.what} {one.wanted}: {one.found}" for one in self.goals]
        return "\n".join([*lines, *(f"  limit: {limit}" for limit in self.limits)])

    def write(self, directory: Path = RESULTS) -> Path:
        """Write the outcome with the machine's words; return the file."""
        today = datetime.now(tz=UTC).date().isoformat()
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{today}-{self.name}.json"
        self.load.append(machine.busy())
        document = {"date": today, "machine": machine.words(), **asdict(self)}
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return path


def _short(value: float) -> float:
    """Return a figure with four digits that count: more would be noise."""
    return float(f"{value:.4g}")


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
