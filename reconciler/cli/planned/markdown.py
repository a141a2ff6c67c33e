"""For a comment on a pull request: what is refused and what goes away first, fleets folded, never longer than a forge takes.

What manifests say stands in fenced blocks, and as code in blocks of escaped HTML, so that nothing can bring a link, an image or a mention.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from reconciler.cli.planned import words
from reconciler.cli.report.markdown import LIMIT, fenced
from reconciler.pipeline.plan.shape import Difference, Fleet, Plan
from reconciler.printable import clipped, printable

OPEN = 2
"""Fleets that are shown unfolded: as many as fit on a screen."""
LISTED = 50
"""Lines of one list; the rest is counted."""
LINE_LIMIT = 600
"""Characters of one line that somebody else wrote."""
LEFT_OUT = 400
"""Characters kept for saying what was left out."""


def render(plan: Plan) -> str:
    """Return the plan; what does not fit any more is left out whole, the least important first, and counted."""
    head = "\n".join(_head(plan))
    left = LIMIT - len(head) - LEFT_OUT
    blocks: list[str] = []
    for block in (*_blocks(plan), *_verdicts(plan)):
        if len(block) < left:
            blocks.append(block)
            left -= len(block) + 1
    fleets, missing = _fitting(plan.fleets, left)
    return "\n".join([head, *blocks, *fleets, *_left_out(missing + plan.more_fleets)])


def _fitting(fleets: Iterable[Fleet], left: int) -> tuple[list[str], int]:
    """Return fleets as long as there is room, without what differs where only that is too long; and how many are left out."""
    shown: list[str] = []
    missing = 0
    for number, fleet in enumerate(fleets):
        for block in (_fleet(fleet, opened=number < OPEN), _fleet(fleet, opened=False, brief=True)):
            if len(block) < left:
                shown.append(block)
                left -= len(block) + 1
                break
        else:
            missing += 1
    return shown, missing


def _head(plan: Plan) -> Iterator[str]:
    if plan.signatures.sentence:
        yield f"> ⚠️ {escape(plan.signatures.sentence)}\n"
    mark = "✅" if plan.accepted else "⚠️" if plan.unjudged else "❌"
    yield f"### {mark} ordain plan: {plan.word}\n"
    yield f"{words.headline(plan)}\n"
    yield f"{words.compared(plan)}, at {plan.at}\n"
    granted = words.granted_lines(plan)
    if granted:
        yield f"> ⚠️ {words.GRANTS}\n"
    yield from _list("", (_code(line) for line in granted))


def _blocks(plan: Plan) -> Iterator[str]:
    refused = [one for one in plan.verdicts.new if one["blocking"]]
    yield from _list("Refused", (_said(one) for one in refused))
    judge = [_code(line) for line in words.judge_lines(plan)]
    apart = (("only the base's judge", plan.judge.base_only), ("only the new judge", plan.judge.head_only))
    judge += [f"{who}: {_said(one)}" for who, found in apart for one in found]
    yield from _list("The judge", judge)
    removed = (f"<b>{_code(words.object_line(one, 'removed'))}</b> {_code(one.file)}" for one in plan.objects.removed)
    yield from _list("Removed", removed)
    for title, change, found in (("Added", "added", plan.objects.added), ("Changed", "changed", plan.objects.changed)):
        lines = [f"{_code(f'{words.SIGNS[change]} {words.object_line(one, change)}')} {_code(one.file)}" for one in found]
        yield from _list(title, lines, folded=True)
    moved = (
        f"{_code(f'{one.tenant}/{one.host}')} from {_code(', '.join(one.left))} to {_code(', '.join(one.joined))}" for one in plan.moves
    )
    yield from _list("Moving between fleets", moved, more=plan.more_moves)
    yield from _list("Waivers", (_code(words.waiver_line(one)) for one in plan.waivers))


def _verdicts(plan: Plan) -> Iterator[str]:
    found = plan.verdicts
    quiet = [one for one in found.new if not one["blocking"]]
    for title, verdicts in (
        ("New verdicts that refuse nothing", quiet),
        ("Verdicts gone", found.gone),
        ("Verdicts unchanged", found.unchanged),
    ):
        yield from _list(title, (_said(one) for one in verdicts), folded=True)


def _list(title: str, items: Iterable[str], *, more: int = 0, folded: bool = False) -> Iterator[str]:
    """Yield a titled list, if there is anything in it; all of it one block of HTML, in which no Markdown counts."""
    listed = list(items)
    if not listed:
        return
    count = len(listed) + more
    left = [f"and {count - LISTED:,} more"] if count > LISTED else []
    lines = "\n".join(f"<li>{item}</li>" for item in (*listed[:LISTED], *left))
    heading = f"<details><summary>{title} ({count:,})</summary>\n" if folded else f"<b>{title}</b>\n" if title else ""
    yield f"{heading}<ul>\n{lines}\n</ul>\n" + ("</details>\n" if folded else "")


def _fleet(fleet: Fleet, *, opened: bool, brief: bool = False) -> str:
    gone = fleet.kind == "deleted"
    title = f"{'<b>' if gone else ''}Fleet {_code(fleet.fleet)}: {escape(words.fleet_line(fleet))}{'</b>' if gone else ''}"
    parts = [f"<details{' open' if opened else ''}><summary>{title}</summary>\n"]
    parts += _list("", (_code(note) for note in words.fleet_notes(fleet)))
    if brief and fleet.differences:
        parts.append("What differs is left out, since a comment holds no more.\n")
    elif not brief:
        parts += [_difference(one) for one in fleet.differences]
        parts += [f"and {words.counted(fleet.more, 'more set')} of hosts that differ in another way\n"] if fleet.more else []
    waves = [words.wave_line(wave) for wave in fleet.waves]
    parts += [f"{words.waves_title(fleet).capitalize()}\n", fenced(waves, "text"), ""] if waves else []
    return "\n".join([*parts, "</details>\n"])


def _difference(difference: Difference) -> str:
    hosts = difference.hosts
    parts = [f"<p>On {words.counted(hosts.count, 'agent')} ({_code(words.names(hosts))}):</p>\n"]
    for item in difference.items:
        line = _code(words.item_line(item))
        said = [
            words.SIGNS[item.change],
            f"<b>{line}</b>" if item.change == "removed" else line,
            _code(words.left_out(item)) if words.left_out(item) else "",
        ]
        parts.append(f"<p>{' '.join(part for part in said if part)}</p>\n")
        if item.lines:
            parts += [fenced(item.lines, "diff"), ""]
    parts += [f"and {words.counted(difference.more, 'more item')}\n"] if difference.more else []
    return "\n".join(parts)


def _said(one: dict[str, Any]) -> str:
    return f"<b>{one['action']}</b> {_code(words.verdict_line(one))}"


def _code(text: str) -> str:
    return f"<code>{escape(clipped(printable(text), LINE_LIMIT))}</code>"


def _left_out(count: int) -> Iterator[str]:
    if count:
        yield f"\n**{words.counted(count, 'more fleet')} left out, since a comment holds no more: `ordain plan` shows all of them.**"
