"""`ordain policy bench`: what each rule costs over this repository's manifests, against the budget in `ordain.yaml`."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.protocol.errors import InputError
from reconciler.cli.policy_source import FORMAT, OPA, REFUSED, REPOSITORY, Place, judge_of, place_of
from reconciler.cli.progress import Progress
from reconciler.opa.program import find_opa
from reconciler.pipeline.manifests import REPOSITORY_FILE
from reconciler.pipeline.policy.costs import Cost, Costs, measure
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.policy.recorder import Recorder
from reconciler.pipeline.survey import survey
from reconciler.publication.times import stamp

UNITS: Mapping[str, float] = {"us": 1.0, "ms": 1_000.0, "s": 1_000_000.0}
"""Units of a budget, in microseconds."""
TOP = 20
"""Rules that text ranks; JSON has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """A budget that is not kept: its name in `spec.budgets`, what costs too much, what it costs and may cost, in microseconds."""

    budget: str
    what: str
    cost: float
    limit: float


@click.command("bench")
@REPOSITORY
@click.option("--rule", "only", default="", metavar="TEXT", help="Measure only rules whose id contains TEXT.")
@FORMAT
@OPA
def bench(path: Path, only: str, form: str, opa: Path | None) -> None:
    """Measure what each rule that is on costs for the manifests of the fleet repository at PATH, and rank them.

    `spec.budgets` in ordain.yaml says what they may cost: `perObject` all rules together for one manifest of the dearest kind, `perRule`
    each rule for one thing that it is asked about. OPA's own time counts, the best of five rounds; other work on the machine disturbs it.

    Exit codes: 0 within the budget, or there is none; 1 over it, or the rules don't compile; 2 wrong usage, 3 OPA can't be run.

    \b
    Examples:
      ordain policy bench fleets
      ordain policy bench fleets --rule custom/ --format json
    """
    place, found = place_of(path), find_opa(opa)
    budgets = _budgets(place)
    judge = judge_of(place, found)
    rules = {name: rule for name, rule in judge.rules.items() if only in name and judge.levels.anywhere(name)}
    if not rules:
        message = f"no rule that is on has {only!r} in its id; `ordain policy list {path}` names them"
        raise InputError(message)
    with Progress() as told:
        told(f"measuring {len(rules)} rules")
        costs = _measured(place, judge, frozenset(rules), found)
    over = list(_over(costs, budgets, whole=not only))
    if form == "json":
        click.echo(json.dumps(_as_json(costs, over), indent=2))
    else:
        click.echo("\n".join([*_as_text(costs), *map(_said, over)]))
    sys.exit(REFUSED if over else 0)


def _measured(place: Place, judge: Judge, rules: frozenset[str], opa: Path) -> Costs:
    recorder = Recorder()
    survey(place.tree, judge, rules, opa=opa, now=stamp(datetime.now(tz=UTC)), server=recorder)
    return measure(recorder.seen, {name: judge.rules[name] for name in sorted(rules)}, bundle=judge.bundle, opa=opa)


def _budgets(place: Place) -> dict[str, float]:
    """Return what `ordain.yaml` allows, in microseconds; raise `InputError` for what is no time."""
    stated = place.repository.spec.get("budgets", {}) if place.repository is not None else {}
    budgets = {}
    for name, text in stated.items() if isinstance(stated, dict) else ():
        number = str(text).rstrip("mus")
        unit = str(text)[len(number) :]
        if not number.isdecimal() or unit not in UNITS:
            message = (
                f"{REPOSITORY_FILE}: spec.budgets.{name}: {str(text)[:40]!r} is no time; write a whole number and us, ms or s, such as 2ms"
            )
            raise InputError(message)
        budgets[name] = int(number) * UNITS[unit]
    return budgets


def _over(costs: Costs, budgets: Mapping[str, float], *, whole: bool) -> Iterator[Over]:
    """Yield what costs more than it may; what all rules cost together is known only where all were measured."""
    kind, dearest = costs.dearest_kind
    if whole and "perObject" in budgets and dearest > budgets["perObject"]:
        yield Over(budget="perObject", what=f"all rules for one {kind}", cost=dearest, limit=budgets["perObject"])
    for one in costs.rules:
        if one.each > budgets.get("perRule", float("inf")):
            yield Over(budget="perRule", what=one.rule, cost=one.each, limit=budgets["perRule"])


def _as_text(costs: Costs) -> Iterator[str]:
    yield f"{'each':>10}  {'share':>6}  {'asked':>6}  rule"
    for one in costs.rules[:TOP]:
        yield f"{_time(one.each):>10}  {costs.share(one):>4.0f} %  {one.asked:>6}  {one.rule}"
    if len(costs.rules) > TOP:
        yield f"… and {len(costs.rules) - TOP} cheaper ones; --format json has them all"
    for kind, cost in sorted(costs.kinds.items(), key=lambda one: -one[1]):
        yield f"{_time(cost):>10}  all rules for one {kind}"


def _said(one: Over) -> str:
    times = one.cost / one.limit if one.limit else 0
    remedy = "measure single rules with --rule, or raise the budget"
    return (
        click.style("over budget", fg="red")
        + f": {one.what}: {_time(one.cost)}, {times:.1f} times {one.budget}: {_time(one.limit)}; {remedy}"
    )


def _time(micro: float) -> str:
    return f"{micro / UNITS['ms']:.1f} ms" if micro >= UNITS["ms"] else f"{micro:.0f} us" if micro >= 10 else f"{micro:.1f} us"  # noqa: PLR2004 - two digits


def _as_json(costs: Costs, over: list[Over]) -> dict[str, object]:
    return {
        "withinBudget": not over,
        "rules": [_rule(one, costs) for one in costs.rules],
        "perObject": {kind: round(cost, 1) for kind, cost in costs.kinds.items()},
        "over": [{"budget": one.budget, "what": one.what, "microseconds": round(one.cost, 1), "limit": one.limit} for one in over],
    }


def _rule(one: Cost, costs: Costs) -> dict[str, object]:
    return {"id": one.rule, "scope": one.scope, "microseconds": round(one.each, 2), "share": round(costs.share(one), 1), "asked": one.asked}
