"""A replay for a pull request that brings or changes a rule. What a repository says stands in fenced blocks and escaped HTML only."""

import html
from collections.abc import Iterable, Iterator
from itertools import groupby

from reconciler.cli.backtested import words
from reconciler.cli.planned.words import counted
from reconciler.cli.report.markdown import LIMIT, fenced
from reconciler.pipeline.backtest.shape import Incident, Refusal, Replay, by_author, by_object, by_path
from reconciler.printable import clipped, printable

SHOWN, FINDINGS, RANKED, WIDTH = 20, 5, 10, 200
"""Commits, findings of one, lines of each ranking, and characters of a line that are shown: what somebody reads in a comment."""


def render(replay: Replay) -> str:
    """Return it as Markdown, without those parts for which a forge's comment has no room."""
    parts, left = [], LIMIT
    for part in filter(None, _parts(replay)):
        left -= len(part) + 1
        parts.append(part if left >= 0 else "… and more, for which a comment has no room: `--format json` has everything\n")
        if left < 0:
            break
    return "\n".join(parts)


def _parts(replay: Replay) -> Iterator[str]:
    yield f"### Backtest: {_said(words.headline(replay))}\n"
    for sentence in (words.apart(replay), words.unread(replay.side), replay.left):
        if sentence:
            yield f"{_said(sentence)}\n"
    yield from _incidents(replay.incidents)
    yield "\n".join(_commits("Would have been refused", replay.side.refusals))
    yield "\n".join(_commits("No longer refused", replay.no_longer or ()))
    yield "\n".join(_commits("Could not be judged", replay.side.troubles))
    if replay.side.refusals:
        found = replay.side.refusals
        yield from _ranking("By author", ((name, f"{number} in {counted(many, 'commit')}") for name, number, many in by_author(found)))
        yield from _ranking("By file", ((name, str(number)) for name, number in by_path(found)))
        yield from _ranking("By object", ((name, str(number)) for name, number in by_object(found)))
        yield f"**False alarms.** {words.alarms(replay)} {words.RECKONING}\n"
    yield f"<sub>{_said(words.effort(replay))}; judge {_code(replay.digest[:12])}, history up to {_code(replay.head[:12])}</sub>"


def _incidents(incidents: Iterable[Incident]) -> Iterator[str]:
    rows = [f"| {_code(one.revision)} | {_state(one)} | {_by(one)} |" for one in incidents]
    if rows:
        yield "| incident | | by |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _state(one: Incident) -> str:
    return "not replayed" if one.step is None else "✅ caught" if one.caught else "❌ not caught"


def _by(one: Incident) -> str:
    return "<br>".join(_code(f"{found.verdict.rule} {found.path}:{found.verdict.line}") for found in one.by[:FINDINGS])


def _commits(title: str, refusals: Iterable[Refusal]) -> Iterator[str]:
    groups = [list(group) for _, group in groupby(refusals, key=lambda one: one.commit)]
    if not groups:
        return
    yield f"<details><summary><b>{title}</b>: {counted(len(groups), 'commit')}</summary>\n"
    yield fenced((line for group in reversed(groups[-SHOWN:]) for line in _commit(group)), "text")
    if len(groups) > SHOWN:
        yield f"\n… and {counted(len(groups) - SHOWN, 'earlier commit')}; `--format json` has them all"
    yield "</details>\n"


def _commit(group: list[Refusal]) -> Iterator[str]:
    first = group[0]
    undone = " (undone later)" if any(one.undone for one in group) else ""
    yield clipped(f"{first.commit[:12]} {first.time[:10]} {first.author}: {first.subject}{undone}", WIDTH)
    for one in group[:FINDINGS]:
        yield clipped(f"  {one.path}:{one.verdict.line} {one.verdict.rule}: {one.verdict.message}", WIDTH)
    if len(group) > FINDINGS:
        yield f"  … and {len(group) - FINDINGS} more"


def _ranking(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    listed = list(rows)
    more = f"\n… and {len(listed) - RANKED} more" if len(listed) > RANKED else ""
    body = "\n".join(f"| {_code(name)} | {number} |" for name, number in listed[:RANKED])
    yield f"| {title} | findings |\n|---|---|\n{body}\n{more}"


def _code(text: str) -> str:
    return f"<code>{html.escape(clipped(printable(text), WIDTH), quote=False).replace('|', '&#124;')}</code>"


def _said(text: str) -> str:
    return html.escape(text, quote=False)
