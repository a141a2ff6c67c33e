"""`ordain policy try`: what a rule finds here now, at whatever level it is, and which rules find nothing at all."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import click

from agent.protocol.errors import InputError
from reconciler.cli import sources
from reconciler.cli.policy_source import FORMAT, OPA, UNJUDGED, Place, judge_of, place_of, rule_of
from reconciler.cli.progress import Progress
from reconciler.cli.report.text import block
from reconciler.opa.program import find_opa
from reconciler.pipeline.finding import Finding, Verdict, as_json
from reconciler.pipeline.manifests import REPOSITORY_FILE, DirectoryTree
from reconciler.pipeline.policy.judge import Judge, Rule
from reconciler.pipeline.policy.library import BUILT_IN
from reconciler.pipeline.positions import verdict
from reconciler.pipeline.survey import Survey, survey
from reconciler.pipeline.tree import Tree
from reconciler.publication.times import stamp
from reconciler.resources import directory

SHOWN = 100
"""Findings that text shows; JSON has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a rule would find at its place: its level by `ordain.yaml` as a rule, verdicts, and whether an example makes it fire."""

    rule: Rule
    level: str
    verdicts: tuple[Verdict, ...]
    shown_to_fire: bool

    @property
    def dead(self) -> bool:
        """Whether nothing shows that it ever fires: neither a manifest nor an example."""
        return not self.verdicts and not self.shown_to_fire


@click.command("try")
@click.argument("rule", required=False)
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rev", help="Look at the manifests of this revision, with the rule as it lies in PATH.")
@click.option("--all", "everything", is_flag=True, help="Try every rule: how often each finds something, and which are dead.")
@FORMAT
@OPA
def try_rule(rule: str | None, path: Path, rev: str | None, form: str, opa: Path | None, *, everything: bool) -> None:
    """Ask RULE about all manifests of the fleet repository at PATH, at whatever level it is, also when it is off.

    RULE is an id, its end, or a file that need not be committed. Nothing is refused and nothing recorded.
    With --all and no RULE, each rule has one line; a rule is called dead where it finds nothing here and no failing example shows that
    it ever would.

    Exit codes: 0 asked, whatever was found; 1 the rules don't compile, 2 wrong usage, 3 something could not be judged.

    \b
    Examples:
      ordain policy try files/not-in-tmp                     the directory you are in
      ordain policy try custom/files/not-in-tmp fleets --rev main~20
      ordain policy try --all fleets                         every rule, and which are dead
    """
    if everything and rule is not None and path == Path():
        path, rule = Path(rule), None  # of two arguments that may be left out, the one that is given is the path
    if (rule is None) != everything:
        message = "name a RULE to try, or --all for every one of them; `ordain policy list` names them"
        raise InputError(message)
    place, found = place_of(path), find_opa(opa)
    judge = judge_of(place, found)
    chosen = [rule_of(judge, rule)] if rule is not None else list(judge.rules.values())
    tree, revision = sources.head_of(sources.place_of(path), rev)
    with Progress() as told:
        told(f"asking {len(chosen)} rule{'' if len(chosen) == 1 else 's'} about all manifests")
        result = survey(tree, judge, {one.id for one in chosen}, opa=found, now=stamp(datetime.now(tz=UTC)))
    tried = [_tried(one, judge, place, tree, result) for one in chosen]
    if form == "json":
        click.echo(json.dumps(_as_json(tried, result, revision), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_as_table(tried, result) if everything else _as_text(tried[0], result)))
    sys.exit(UNJUDGED if any(one.action == "error" for one in result.findings) else 0)


def _tried(rule: Rule, judge: Judge, place: Place, tree: Tree, result: Survey) -> Tried:
    found = [verdict(_at_its_level(one, judge), tree.read) for one in result.findings if one.rule == rule.id]
    found.sort(key=lambda one: (one.file, one.line, one.column, one.message))
    return Tried(rule=rule, level=judge.level(rule.id, "", rule.tenant), verdicts=tuple(found), shown_to_fire=_fires(rule, place))


def _at_its_level(one: Finding, judge: Judge) -> Finding:
    """Return a finding as what it does at its place; where the rule is off it stays at audit, as it was asked."""
    level = judge.level(one.rule, one.place.file, one.object.tenant if one.object else "")
    return one if level == "off" or one.action == "error" else replace(one, action=level)


def _fires(rule: Rule, place: Place) -> bool:
    """Return whether a failing example stands beside a rule."""
    built_in = rule.file.startswith(BUILT_IN)
    tree: Tree = DirectoryTree(directory("policies")) if built_in else place.tree
    beside = PurePosixPath(rule.file.removeprefix(BUILT_IN)).parent / "examples" / "fail-"
    return any(path.startswith(str(beside)) for path in tree.entries)


def _as_text(tried: Tried, result: Survey) -> Iterator[str]:
    for one in tried.verdicts[:SHOWN]:
        yield block(one) + "\n"
    if len(tried.verdicts) > SHOWN:
        yield f"… and {len(tried.verdicts) - SHOWN} more; --format json has them all\n"
    yield from _unread(result)
    files = len({one.file for one in tried.verdicts})
    found = f"{len(tried.verdicts)} in {files} file{'' if files == 1 else 's'}" if tried.verdicts else "nothing"
    yield f"{tried.rule.id} finds {found}, of {result.manifests} manifests. {_consequence(tried)}"


def _consequence(tried: Tried) -> str:
    """Return what its level makes of what it finds."""
    if tried.level == "off" and tried.rule.needs:
        return f"It is off: it has nothing to go by until {' or '.join(tried.rule.needs)} is set in ordain.yaml."
    said = {"off": "it is not asked", "audit": "findings are recorded", "warn": "findings are shown", "deny": "findings refuse"}
    elsewhere = Counter(one.action for one in tried.verdicts if one.action not in (tried.level, "error"))
    but = " and ".join(f"{count} at {level}" for level, count in sorted(elsewhere.items()) if tried.level != "off")
    overridden = f" By overrides or stages in {REPOSITORY_FILE} these are otherwise: {but}." if but else ""
    return f"Its level is {tried.level}: {said[tried.level]}.{overridden}"


def _as_table(tried: list[Tried], result: Survey) -> Iterator[str]:
    for one in tried:
        dead = click.style("  dead: no manifest and no example makes it fire", fg="yellow") if one.dead else ""
        yield f"{len(one.verdicts):>6}  {one.level:<6} {one.rule.id}{dead}"
    yield from _unread(result)
    levels = Counter("off" if one.level == "off" else each.action for one in tried for each in one.verdicts)
    found = ", ".join(f"{levels[level]} at {level}" for level in ("deny", "warn", "audit", "off") if levels[level]) or "nothing found"
    many = sum(one.dead for one in tried)
    yield f"{len(tried)} rules, {result.manifests} manifests: {found}; {many or 'none'} dead"


def _unread(result: Survey) -> Iterator[str]:
    """Yield how many faults keep manifests from being judged: what is not read, no rule can find."""
    count = len(result.refused)
    if count:
        faults = "one other fault keeps" if count == 1 else f"{count} other faults keep"
        yield f"{faults} something from being judged; `ordain check` names {'it' if count == 1 else 'them'}"


def _as_json(tried: list[Tried], result: Survey, revision: str | None) -> dict[str, object]:
    return {
        "revision": revision,
        "manifests": result.manifests,
        "unjudged": [_fault(one) for one in result.refused],
        "rules": [
            {"id": one.rule.id, "level": one.level, "dead": one.dead, "findings": [as_json(each) for each in one.verdicts]} for one in tried
        ],
    }


def _fault(one: Finding) -> dict[str, str]:
    return {"rule": one.rule, "file": one.place.file, "message": one.message}
