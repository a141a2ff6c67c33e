"""For a comment on a pull request: counts first, each verdict folded, never longer than a forge takes.

What manifests say stands in fenced blocks and escaped HTML only, so that no message can bring a link, an image or a mention.
"""

import html
import re
from collections.abc import Iterable

from reconciler.cli.report.outcome import Outcome
from reconciler.pipeline.finding import Verdict
from reconciler.printable import clipped, excerpt, printable

LIMIT = 60_000
"""Characters: GitHub takes 65,536 in a comment, and some are left for what a workflow puts around it."""
OPEN = 5
"""Verdicts that are shown unfolded: as many as fit on a screen."""
_BACKTICKS = re.compile("`+")


def render(outcome: Outcome) -> str:
    """Return the report, cut after the last verdict that fits, with a note of how many were left out."""
    ordered = sorted(outcome.verdicts, key=lambda one: not one.blocking)
    head = _head(outcome)
    blocks: list[str] = []
    left = LIMIT - len(head) - len(_left_out(len(ordered)))
    for number, one in enumerate(ordered):
        block = _block(one, opened=one.blocking and number < OPEN)
        left -= len(block) + 1
        if left < 0:
            break
        blocks.append(block)
    missing = len(ordered) - len(blocks)
    return "\n".join([head, *blocks, *([_left_out(missing)] if missing else [])])


def _head(outcome: Outcome) -> str:
    mark = "✅" if outcome.accepted else "⚠️" if outcome.unjudged else "❌"
    judged = f"`{outcome.revision[:12]}`" if outcome.revision else "the files as they are"
    against = f" against `{outcome.base[:12]}`" if outcome.base else ""
    notes = "".join(f"> {html.escape(clipped(printable(note), 300), quote=False)}\n" for note in list(outcome.judge_notes())[:20])
    title = f"### {mark} ordain {outcome.command}: {outcome.word}"
    return f"{title}\n\n{outcome.total} · {judged}{against}\n{'' if not notes else chr(10)}{notes}"


def _block(one: Verdict, *, opened: bool) -> str:
    where = html.escape(f"{printable(one.file)}:{one.line}:{one.column}")
    title = f"<b>{one.action}</b>{one.mark} <code>{html.escape(one.rule)}</code> <code>{where}</code>"
    body = [one.message]
    if one.source_line:
        body += [f"{one.line} | {excerpt(one.source_line, one.column)[0]}"]
    body += one.asides
    if one.remedy and not one.waived:
        body += [f"remedy: {one.remedy}"]
    shown = fenced((line for part in body for line in part.split("\n")), "text")
    return f"<details{' open' if opened else ''}><summary>{title}</summary>\n\n{shown}\n</details>\n"


def fenced(lines: Iterable[str], language: str) -> str:
    """Return lines of anybody's in a block that none of them can end."""
    shown = "\n".join(printable(line) for line in lines)
    fence = "`" * max(3, 1 + max((len(run) for run in _BACKTICKS.findall(shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def _left_out(count: int) -> str:
    return f"\n**{count} more left out, since a comment holds no more: `ordain check` shows all of them.**"
