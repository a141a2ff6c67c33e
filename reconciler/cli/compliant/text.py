"""Compliance for a terminal."""

import textwrap
from collections.abc import Iterator
from dataclasses import replace

from reconciler.cli.compliant import words
from reconciler.cli.compliant.words import Table
from reconciler.pipeline.compliance.shape import Report
from reconciler.printable import clipped, printable

WIDTH, CELL, LAST, SHOWN = 120, 60, 200, 50
"""Columns of prose, characters of a cell and of the last one, and rows of a table that are shown; the other formats have all."""


def render(report: Report) -> str:
    """Return it as lines."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"{words.headline(report)}."
    yield f"{words.period(report)}."
    broken = tuple(one for one in report.rules if one.objects.conform < one.objects.total)
    for table in words.tables(replace(report, rules=broken)):
        yield ""
        yield table.title
        yield from _table(table)
    yield ""
    yield f"Rules that hold everywhere: {len(report.rules) - len(broken):,}; the other formats list them."
    for note in words.notes(report):
        yield from textwrap.wrap(note, WIDTH)


def _table(table: Table) -> Iterator[str]:
    limits = (*(CELL for _ in table.head[1:]), LAST)
    listed = (table.head, *table.rows[:SHOWN])
    rows = [tuple(clipped(printable(cell), limit) for cell, limit in zip(row, limits, strict=True)) for row in listed]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.head))]
    for row in rows:
        cells = (
            cell.rjust(width) if column in table.numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"  {'  '.join(cells)}".rstrip()
    if len(table.rows) > SHOWN:
        yield f"  … and {len(table.rows) - SHOWN:,} more; --format json, csv or html has them all"
