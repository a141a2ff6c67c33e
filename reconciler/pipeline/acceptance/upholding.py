"""Which findings stand against a change once waivers are heard, and what is left of the change then.

Waivers are in force where their files are accepted, and files are accepted where waivers excuse what was found in them. So it
is settled again for as long as that takes a waiver away; each time more files are refused, so it ends.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from reconciler.pipeline.acceptance.change import Facts
from reconciler.pipeline.acceptance.excusing import excused, newly_granted, placed, unused, waivers_of
from reconciler.pipeline.acceptance.judgement import Judged, Judges, judge_release
from reconciler.pipeline.acceptance.proposal import Proposal
from reconciler.pipeline.acceptance.structure import Structure
from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.finding import Finding, ObjectName
from reconciler.pipeline.policy.metadata import Scope
from reconciler.pipeline.waivers import Excused, Waiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A change, who judges it, and when. `settle` leaves out files (path → reason) and all that can't stand without them."""

    proposal: Proposal
    judges: Judges
    facts: Facts
    settle: Callable[[Mapping[str, str]], Structure]

    def excused(
        self, found: Sequence[Judged], waivers: Sequence[Waiver], kept: Mapping[str, str] | None = None
    ) -> tuple[list[Judged], Excused]:
        """Return findings with the waivers that excuse them; `kept` are files that stay as they were accepted."""
        told, outcome = excused(found, waivers, self.judges, self.facts.now, placed(self.proposal, kept or {}))
        return newly_granted(told, self.proposal, self.facts), outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Upheld:
    """What is left of a change, what was found in it, the waivers that there are then, and what came of them."""

    settled: Structure
    objects: Sequence[Judged]
    waivers: tuple[Waiver, ...]
    outcome: Excused


def uphold(case: Case, structure: Structure, objects: Sequence[Judged], whole: Sequence[Judged]) -> Upheld:
    """Refuse what is found and not excused. `structure` is what fits together before that, `whole` what was found in the change."""
    touched = case.proposal.touched
    settled, refused = structure, {**_everything(whole, touched), **structure.refused}
    waivers = waivers_of(structure.world)
    while True:
        told, outcome = case.excused(objects, waivers)
        refused = {**_files_of(told, touched), **refused}
        settled = case.settle(refused) if refused.keys() != settled.refused.keys() else settled
        left = waivers_of(settled.world)
        if left == waivers:
            return Upheld(settled=settled, objects=told, waivers=waivers, outcome=outcome)
        waivers, refused = left, {**refused, **settled.refused}


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """What was found in releases, by fleet, and the sentence of those that are refused."""

    found: Mapping[FleetKey, Sequence[Judged]]
    denied: Mapping[FleetKey, str]
    outcomes: tuple[Excused, ...]

    @property
    def fleets(self) -> frozenset[ObjectName]:
        """The fleets that release rules were asked about."""
        return frozenset(ObjectName(kind="Fleet", tenant=tenant, name=name) for tenant, name in self.found)


def judge_releases(
    case: Case,
    upheld: Upheld,
    candidates: Mapping[FleetKey, Compiled],
    released: Mapping[FleetKey, Compiled],
    *,
    change: Mapping[str, Any],
    again: AbstractSet[ObjectName],
) -> Releases:
    """Ask the release rules about each candidate, and again about what runs of the fleets that are to be judged `again`.

    Waivers that are in force are heard. What is found in what runs is standing, and refuses nothing.
    """
    asked = {key: judge_release(case.judges, new, released.get(key), change) for key, new in candidates.items()}
    running = {(name.tenant, name.name) for name in again if name.kind == "Fleet"} & released.keys()
    asked |= {key: judge_release(case.judges, released[key], released[key], change) for key in sorted(running - candidates.keys())}
    heard = {key: case.excused(found, upheld.waivers, upheld.settled.refused) for key, found in asked.items()}
    return Releases(
        found={key: found for key, (found, _) in heard.items()},
        denied={key: _first(heard[key][0]) for key in candidates if any(one.blocking for one in heard[key][0])},
        outcomes=tuple(outcome for _, outcome in heard.values()),
    )


def left_over(case: Case, upheld: Upheld, releases: Releases, asked: AbstractSet[ObjectName]) -> list[Judged]:
    """Return warnings of waivers that excuse nothing; `asked` are the objects that object rules were asked about."""
    fleets = releases.fleets
    everything = case.judges.own is not None

    def was_asked(scope: Scope, name: ObjectName) -> bool:
        return name in fleets if scope == "release" else scope == "object" and (everything or name in asked)

    idle = [one for one in upheld.outcome.unused if all(one in outcome.unused for outcome in releases.outcomes)]
    near = tuple(miss for outcome in (upheld.outcome, *releases.outcomes) for miss in outcome.near)
    return list(unused(Excused(unused=tuple(idle), near=near), case.judges, was_asked))


def _files_of(judged: Sequence[Judged], touched: AbstractSet[str]) -> dict[str, str]:
    return {path: _sentence(one.finding) for one in judged if one.blocking for path in one.finding.files & touched}


def _everything(judged: Sequence[Judged], touched: AbstractSet[str]) -> dict[str, str]:
    blocking = [one for one in judged if one.blocking]
    return dict.fromkeys(touched, _sentence(blocking[0].finding)) if blocking else {}


def _first(judged: Sequence[Judged]) -> str:
    return next(_sentence(one.finding) for one in judged if one.blocking)


def _sentence(finding: Finding) -> str:
    return f"{finding.rule}: {finding.message}"
