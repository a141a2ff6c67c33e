"""For people at a terminal: file, line and column, the line itself with a caret, and what to do."""

from collections.abc import Iterator

from click import style

from reconciler.cli.report.outcome import Outcome
from reconciler.pipeline.finding import Action, Verdict
from reconciler.printable import excerpt, printable

COLOURS: dict[Action, str] = {"deny": "red", "error": "magenta", "warn": "yellow", "audit": "cyan"}


def render(outcome: Outcome) -> str:
    """Return the report with ANSI colours, which `click.echo` takes out where they would not be seen."""
    blocks = [block(one) + "\n" for one in outcome.verdicts]
    notes = [style(printable(note), fg="yellow") for note in outcome.judge_notes()]
    word = style(outcome.word, fg="green" if outcome.accepted else "red", bold=True)
    return "\n".join([*blocks, *notes, f"{word}: {outcome.total}"])


def block(one: Verdict) -> str:
    """Return one verdict: its place, what it says, the line with a caret, and what to do."""
    return "\n".join(_lines(one))


def _lines(one: Verdict) -> Iterator[str]:
    where = style(f"{printable(one.file)}:{one.line}:{one.column}", bold=True)
    yield f"{where} {style(one.action, fg=COLOURS[one.action], bold=True)} {one.rule}{one.mark}"
    yield f"  {printable(one.message)}"
    if one.source_line:
        shown, before = excerpt(one.source_line, one.column)
        yield style(f"  {one.line} | {shown}", dim=True)
        yield " " * (len(f"  {one.line} | ") + before) + style("^", fg=COLOURS[one.action])
    yield from (style(f"  {printable(aside)}", fg="cyan") for aside in one.asides)
    if one.remedy and not one.waived:
        yield f"  remedy: {printable(one.remedy)}"
