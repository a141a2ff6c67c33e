"""A replay for a terminal: the newest refusals first, then who and where, incidents and false alarms."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import click

from reconciler.cli.backtested import words
from reconciler.cli.planned.words import counted
from reconciler.pipeline.backtest.shape import Refusal, Replay, by_author, by_object, by_path
from reconciler.printable import printable

SHOWN, RANKED = 20, 10
"""Commits, and lines of each ranking, that are shown; JSON has all."""


def render(replay: Replay) -> str:
    """Return it as lines."""
    return "\n".join(_lines(replay))


def _lines(replay: Replay) -> Iterator[str]:
    yield words.headline(replay) + "."
    if difference := words.apart(replay):
        yield difference
    yield from _commits(replay.side.refusals)
    if replay.no_longer:
        yield "\nNo longer refused:"
        yield from _commits(replay.no_longer)
    if replay.side.refusals:
        found = replay.side.refusals
        yield from _ranking("By author", ((f"{who} ({counted(many, 'commit')})", number) for who, number, many in by_author(found)))
        yield from _ranking("By file", by_path(found))
        yield from _ranking("By object", by_object(found))
    yield from _incidents(replay)
    yield ""
    if replay.side.commits:
        yield f"{words.alarms(replay)} {words.RECKONING}"
    yield from _rest(replay)
    yield words.effort(replay)


def _commits(refusals: Iterable[Refusal]) -> Iterator[str]:
    groups = [list(group) for _, group in groupby(refusals, key=lambda one: one.commit)]
    for group in reversed(groups[-SHOWN:]):
        first = group[0]
        undone = click.style(" (undone later)", fg="yellow") if any(one.undone for one in group) else ""
        yield f"\n{first.commit[:12]} {first.time[:10]} {printable(first.author)}: {printable(first.subject)}{undone}"
        for one in group[:SHOWN]:
            found = one.verdict
            yield f"  {printable(found.file)}:{found.line}:{found.column} {found.rule}: {printable(found.message)}"
        if len(group) > SHOWN:
            yield f"  … and {len(group) - SHOWN} more"
    if len(groups) > SHOWN:
        yield f"\n… and {counted(len(groups) - SHOWN, 'earlier commit')}; --format json has them all"


def _ranking(title: str, rows: Iterable[tuple[str, int]]) -> Iterator[str]:
    listed = list(rows)
    yield f"\n{title}"
    yield from (f"  {number:>6,}  {printable(name)}" for name, number in listed[:RANKED])
    if len(listed) > RANKED:
        yield f"          … and {len(listed) - RANKED} more"


def _incidents(replay: Replay) -> Iterator[str]:
    if replay.incidents:
        yield "\nIncidents"
    for one in replay.incidents:
        named = f"{one.revision} ({one.commit[:12]})" if one.revision not in one.commit else one.commit[:12]
        if one.step is None:
            yield f"  not replayed  {named}: it is older than what was looked at, or on no branch that was merged"
        elif not one.caught:
            yield click.style(f"  not caught    {named}", fg="red")
        for found in one.by[:SHOWN]:
            where = f"{printable(found.path)}:{found.verdict.line}"
            yield f"  caught        {named} by {found.verdict.rule} at {where}: {printable(found.verdict.message)}"


def _rest(replay: Replay) -> Iterator[str]:
    for sentence in (words.unread(replay.side), replay.left):
        if sentence:
            yield sentence
    for one in replay.side.troubles[:SHOWN]:
        yield click.style(f"could not be judged: {one.commit[:12]} {one.path}: {printable(one.verdict.message)}", fg="red")
