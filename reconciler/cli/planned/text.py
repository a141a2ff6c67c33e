"""For people at a terminal: what hits whom first, then how, when, and what the rules say; what goes away in bold."""

from collections.abc import Iterator
from typing import Any

from click import style

from reconciler.cli.planned import words
from reconciler.pipeline.plan.shape import Difference, Fleet, Item, Objects, Plan
from reconciler.printable import printable

COLOURS = {"added": "green", "changed": "yellow", "removed": "red"}
ACTIONS = {"deny": "red", "error": "magenta", "warn": "yellow", "audit": "cyan"}


def render(plan: Plan) -> str:
    """Return the plan with ANSI colours, which `click.echo` takes out where they would not be seen."""
    word = style(plan.word, fg="green" if plan.accepted else "red", bold=True)
    blocks = [
        [*_first(plan), f"Plan of {words.compared(plan)}, at {plan.at}"],
        list(_judge(plan)),
        list(_objects(plan.objects)),
        *([*_fleet(fleet)] for fleet in plan.fleets),
        [*_more(plan.more_fleets, "fleet")],
        list(_moves(plan)),
        list(_verdicts(plan)),
        [f"waiver {printable(words.waiver_line(one))}" for one in plan.waivers],
        [f"{word}: {words.headline(plan)}"],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _first(plan: Plan) -> Iterator[str]:
    if plan.signatures.sentence:
        yield style(f"note: {plan.signatures.sentence}", fg="yellow")
    granted = words.granted_lines(plan)
    if granted:
        yield style(f"note: {words.GRANTS}", fg="yellow")
        yield from (f"  waiver {printable(line)}" for line in granted)


def _judge(plan: Plan) -> Iterator[str]:
    for line in words.judge_lines(plan):
        yield style(printable(line), fg="yellow")
    for title, found in (("only the base's judge says", plan.judge.base_only), ("only the new judge says", plan.judge.head_only)):
        if found:
            yield f"  {title}:"
            yield from (f"    {_verdict(one)}" for one in found)


def _objects(objects: Objects) -> Iterator[str]:
    for change, found in (("removed", objects.removed), ("added", objects.added), ("changed", objects.changed)):
        for one in found:
            line = f"{words.SIGNS[change]} {words.object_line(one, change)}"
            yield style(printable(line), fg=COLOURS[change], bold=change == "removed") + f"  {printable(one.file)}"


def _fleet(fleet: Fleet) -> Iterator[str]:
    gone = fleet.kind == "deleted"
    yield style(f"Fleet {printable(fleet.fleet)}", bold=True, fg="red" if gone else None) + f": {words.fleet_line(fleet)}"
    yield from (
        style(f"  {printable(note)}", bold=gone, fg="red" if fleet.held or fleet.uncompiled else None) for note in words.fleet_notes(fleet)
    )
    for difference in fleet.differences:
        yield from _difference(difference)
    yield from _more(fleet.more, "set of hosts that differ in another way")
    if fleet.waves:
        yield f"  {words.waves_title(fleet)}"
        yield from (f"    {printable(words.wave_line(wave))}" for wave in fleet.waves)


def _difference(difference: Difference) -> Iterator[str]:
    hosts = difference.hosts
    yield f"  on {words.counted(hosts.count, 'agent')} ({printable(words.names(hosts))}):"
    for item in difference.items:
        yield from _item(item)
    yield from _more(difference.more, "item")


def _item(item: Item) -> Iterator[str]:
    line = f"    {words.SIGNS[item.change]} {printable(words.item_line(item))}"
    yield style(line, fg=COLOURS[item.change], bold=item.change == "removed")
    for each in item.lines:
        colour = "green" if each.startswith("+") else "red" if each.startswith("-") else None
        yield style(f"        {printable(each)}", fg=colour, dim=each.startswith("@@"))
    if words.left_out(item):
        yield f"        {printable(words.left_out(item))}"


def _moves(plan: Plan) -> Iterator[str]:
    for move in plan.moves:
        yield printable(f"{move.tenant}/{move.host} moves from {', '.join(move.left)} to {', '.join(move.joined)}")
    yield from _more(plan.more_moves, "host that moves")


def _verdicts(plan: Plan) -> Iterator[str]:
    for title, found in (("new", plan.verdicts.new), ("gone", plan.verdicts.gone), ("unchanged", plan.verdicts.unchanged)):
        for one in found:
            yield f"{title}: {_verdict(one)}"
            if title == "new" and one["remedy"]:
                yield f"     remedy: {printable(one['remedy'])}"
    yield from _more(plan.verdicts.more, "verdict")


def _verdict(one: dict[str, Any]) -> str:
    return f"{style(one['action'], fg=ACTIONS[one['action']])} {printable(words.verdict_line(one))}"


def _more(count: int, what: str) -> Iterator[str]:
    if count:
        yield f"  and {words.counted(count, what)} more"
