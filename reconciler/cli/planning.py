"""From a judgement that is still open to a plan."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from reconciler.cli.judging import Opened
from reconciler.cli.outcomes import verdict_of
from reconciler.pipeline.acceptance import Judged
from reconciler.pipeline.acceptance.change import impact
from reconciler.pipeline.acceptance.claims import DUPLICATE
from reconciler.pipeline.acceptance.excusing import granted_here
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.plan.fleets import Looking, fleet_of, hit_of
from reconciler.pipeline.plan.handover import handovers
from reconciler.pipeline.plan.hosts import NAMES_LIMIT, Crowd, moves
from reconciler.pipeline.plan.live import Asked, live_of
from reconciler.pipeline.plan.secrets import veil
from reconciler.pipeline.plan.shape import Fleet, Impact, Object, Objects, Plan, Signatures, UsedWaiver
from reconciler.pipeline.plan.sides import Sides, both_sides
from reconciler.pipeline.plan.verdicts import before, compared, judges_apart, of_secrets
from reconciler.pipeline.positions import Finder, find
from reconciler.pipeline.waivers import NOTICE_DAYS, Waiver
from reconciler.publication.times import instant, stamp

FLEETS_LIMIT = 100
"""Fleets shown, those that hit most hosts first, unless all are asked for."""
MOVES_LIMIT = 50
OBJECTS_LIMIT = 500
"""Manifests of each kind of change that are listed."""
UNSIGNED = "signatures are off: whoever may merge may also loosen the rules that judge a change"

UNCOMMITTED = "files that are not committed yet are nobody's: who may make this change is seen once it is committed and signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is planned from where, and how much of it is shown: `all` leaves no host, fleet or move out."""

    base: str | None
    head: str | None
    now: datetime
    all: bool = False
    prefix: str = ""
    finder: Finder = find
    live: Asked | None = None
    """Who is asked what hosts say now; nobody, where no server is named."""


def plan_of(opened: Opened, wanted: Wanted) -> Plan:
    """Return what a change would do; its judges are asked about the base's side here."""
    decision = opened.judgement.decision
    sides = both_sides(
        opened.base,
        opened.head,
        opened.changed,
        decision,
        opened.released,
        layout=opened.layout,
        bundle_format=opened.bundle_format,
    )
    change = decision.change
    fleets, crowds = _fleets(sides, opened, wanted)
    shown = [verdict_of(one, opened.head, wanted.finder) for one in decision.judged]
    former = before(sides, opened.judges.before, change)
    moved = moves(crowds)
    return Plan(
        base=wanted.base,
        head=wanted.head,
        at=stamp(wanted.now),
        accepted=decision.accepted,
        unjudged=any(one.action == "error" for one in shown),
        signatures=_signatures(opened, wanted),
        judge=judges_apart(sides, opened.judges, change),
        objects=_objects(opened),
        impact=_impact(sides),
        fleets=tuple(islice(fleets, None if wanted.all else FLEETS_LIMIT)),
        moves=tuple(islice(moved, None if wanted.all else MOVES_LIMIT)),
        verdicts=compared(shown, former, opened.base.tree),
        waivers=tuple(_waivers(decision.judged, decision.waivers, wanted.now)),
        more_fleets=0 if wanted.all else max(0, len(fleets) - FLEETS_LIMIT),
        more_moves=0 if wanted.all else max(0, len(moved) - MOVES_LIMIT),
        prefix=wanted.prefix,
    )


def _signatures(opened: Opened, wanted: Wanted) -> Signatures:
    on = opened.judgement.review.required
    return Signatures(on=on, sentence=UNSIGNED if not on else "" if wanted.head else UNCOMMITTED)


def _fleets(sides: Sides, opened: Opened, wanted: Wanted) -> tuple[list[Fleet], dict[FleetKey, Crowd]]:
    decision = opened.judgement.decision
    kept_back = veil(of_secrets(sides, opened.judges, decision.change))
    looking = Looking(now=wanted.now, veil=kept_back, names=None if wanted.all else NAMES_LIMIT)
    found: list[Fleet] = []
    crowds: dict[FleetKey, Crowd] = {}
    notes: dict[str, list[str]] = {}
    for key in sides.fleets:
        looked = fleet_of(key, sides, looking, held=decision.frozen.get(key, ""))
        if looked is not None:
            found.append(looked[0])
            crowds[key] = looked[1]
    for key, note in handovers(sides):
        notes.setdefault("/".join(key), []).append(note)
    found = [replace(one, notes=(*one.notes, *notes.get(one.fleet, ()))) for one in found]
    if wanted.live is not None:
        found = [_with_live(one, sides, crowds, wanted.live) for one in found]
    found.sort(key=lambda one: (one.kind != "deleted", -one.hit.count, one.fleet))
    return found, crowds


def _with_live(fleet: Fleet, sides: Sides, crowds: Mapping[FleetKey, Crowd], asked: Asked) -> Fleet:
    """Return a fleet with what is known now of the hosts that the change reaches."""
    tenant, _, name = fleet.fleet.partition("/")
    new = sides.new.get((tenant, name))
    if new is None:
        return fleet
    who = crowds[tenant, name]
    members = sorted(hit_of(who, sides.old.get((tenant, name)), new))
    if not members:
        return fleet
    return replace(fleet, live=live_of(name, members, who.pools, asked(tenant, members), new.bundle))


def _impact(sides: Sides) -> Impact:
    counted = impact(sides.new, sides.old, sides.after)
    agents, total = int(counted["agents"]), int(counted["total"])
    return Impact(agents=agents, total=total, share=round(min(100.0, 100 * agents / total), 1) if total else 100.0 * bool(agents))


def _objects(opened: Opened) -> Objects:
    """Return what comes, changes and goes; a copy that only takes the name of what stands is told of by its refusal alone."""
    decision = opened.judgement.decision
    listed = decision.change["objects"]
    copies = {
        (one.finding.object.kind, one.finding.object.tenant, one.finding.object.name, one.finding.place.file)
        for one in decision.judged
        if one.finding.rule == DUPLICATE and one.finding.object is not None and one.finding.place.file in decision.refused
    }

    def named(kind: str) -> tuple[Object, ...]:
        objects = (Object(**one) for one in listed[kind])
        found = [one for one in objects if (one.kind, one.tenant, one.name, one.file) not in copies]
        found.sort(key=lambda one: (one.kind, one.tenant, one.name))
        return tuple(found[:OBJECTS_LIMIT])

    return Objects(added=named("added"), changed=named("changed"), removed=named("removed"))


def _waivers(judged: Sequence[Judged], accepted: Iterable[Waiver], now: datetime) -> Iterator[UsedWaiver]:
    """Yield the waivers that excuse something here or end soon, the next to end first."""
    used = {one.waived.title for one in judged if one.waived is not None}
    granted = granted_here(judged)
    for waiver in sorted(accepted, key=lambda one: (one.until, one.title)):
        days = (instant(waiver.until, what=waiver.title) - now).days
        expiring = waiver.counts(stamp(now)) and days < max(NOTICE_DAYS)
        if waiver.title in used or expiring:
            yield UsedWaiver(
                name=waiver.name.name,
                tenant=waiver.name.tenant,
                file=waiver.place.file,
                rule=waiver.rule,
                object=str(waiver.object),
                owner=waiver.owner,
                expires=waiver.until,
                days=days,
                used=waiver.title in used,
                expiring=expiring,
                granted=granted.get(waiver.title, ""),
            )
