"""Compliance as Markdown. What a repository says stands in escaped HTML only, so that no name can bring a link or an image."""

import html
import re
from collections.abc import Iterator

from reconciler.cli.compliant import words
from reconciler.cli.compliant.words import Table
from reconciler.pipeline.compliance.shape import Report
from reconciler.printable import clipped, printable

CELL, SHOWN = 200, 100
"""Characters of a cell, and rows of a table that are shown: what a forge still draws."""

_PLAIN = re.compile(r"[A-Za-z0-9 ,()-]*|[0-9.]+ %")
"""What no forge makes anything else of: a dot between letters may already be a link."""


def render(report: Report) -> str:
    """Return it as Markdown."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"# Compliance of {_text(report.repository or 'the repository')}\n"
    yield f"**{_text(words.headline(report))}.** {_text(words.period(report))}.\n"
    for table in words.tables(report):
        yield f"## {table.title}\n"
        yield from _table(table)
    yield from (f"{_text(note)}\n" for note in words.notes(report))


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.head)} |"
    yield f"|{'|'.join('---:' if column in table.numbers else '---' for column in range(len(table.head)))}|"
    for row in table.rows[:SHOWN]:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"
    yield f"\n… and {len(table.rows) - SHOWN:,} more\n" if len(table.rows) > SHOWN else ""


def _cell(text: str) -> str:
    """Return a cell that can't end itself; `code` keeps mentions and marks of Markdown from acting."""
    shown = _text(clipped(text, CELL)).replace("|", "&#124;")
    return shown if _PLAIN.fullmatch(shown) else f"<code>{shown}</code>"


def _text(text: str) -> str:
    return html.escape(printable(text), quote=False)
