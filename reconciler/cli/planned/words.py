"""What all forms of a plan say alike: its sentences, without any form's signs."""

from collections.abc import Iterator
from typing import Any

from reconciler.pipeline.compile.parts import NOUNS
from reconciler.pipeline.plan.hosts import NAMES_LIMIT
from reconciler.pipeline.plan.shape import Fleet, Hosts, Item, Live, Object, Plan, UsedWaiver, Wave

KINDS = {
    "created": "new fleet",
    "changed": "new release",
    "members": "other members",
    "settings": "other settings",
    "held": "held up",
    "deleted": "deleted",
}
GRANTS = "this change is excused by waivers that it brings itself; whoever merges it grants them"
FIELDS = {**{str(field): noun for field, noun in NOUNS.items()}, "state": "setting"}
"""What one item of a field is called."""
WAVE_NAMES = 4
"""Names shown of a wave: who is in the first, small one is what people look for."""
SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def headline(plan: Plan) -> str:
    """Return what came of it and how much it hits, in one line."""
    hit = plan.impact
    if not plan.fleets:
        return f"nothing of this reaches a host; {tally(plan)}"
    fleets = counted(len(plan.fleets) + plan.more_fleets, "fleet")
    removed = f", {counted(len(plan.objects.removed), 'object')} removed" if plan.objects.removed else ""
    return f"{counted(hit.agents, 'agent')} of {hit.total:,} ({hit.share:g} %) in {fleets}{removed}; {tally(plan)}"


def tally(plan: Plan) -> str:
    """Return how many verdicts there are of each sort."""
    found = plan.verdicts
    more = f" and {found.more:,} more" if found.more else ""
    return f"verdicts: {len(found.new)} new, {len(found.gone)} gone, {len(found.unchanged)} unchanged{more}"


def compared(plan: Plan) -> str:
    """Return which sides are compared."""
    return f"{plan.head[:12] if plan.head else 'the files as they are'} against {plan.base[:12] if plan.base else 'nothing'}"


def counted(count: int, what: str) -> str:
    """Return `1 agent` or `2,000 agents`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def names(hosts: Hosts, *, most: int | None = None) -> str:
    """Return some hosts by name, at most so many: `web-01, web-02 and 7 more`."""
    shown = hosts.names[:most]
    more = hosts.more + len(hosts.names) - len(shown)
    return f"{', '.join(shown)} and {more:,} more" if more else ", ".join(shown)


def fleet_line(fleet: Fleet) -> str:
    """Return how much of a fleet is hit."""
    if fleet.kind == "deleted":
        return f"{KINDS[fleet.kind]}, {counted(fleet.leaving.count, 'host')} in it until now"
    if fleet.uncompiled:
        return "does not compile"
    if fleet.kind == "held":
        return f"{KINDS[fleet.kind]}, {counted(fleet.members, 'agent')} in it"
    parts = [KINDS[fleet.kind], f"{fleet.hit.count:,} of {counted(fleet.members, 'agent')} hit ({fleet.share:g} %)"]
    parts += [
        f"{hosts.count:,} {verb}"
        for hosts, verb in ((fleet.joining, "joining"), (fleet.leaving, "leaving"))
        if hosts.count and fleet.before
    ]
    return ", ".join(parts)


def object_line(one: Object, change: str) -> str:
    """Return a manifest that differs, without its sign and its file: `Agent shop/web-01 is REMOVED`."""
    return f"{one.kind} {one.tenant + '/' if one.tenant else ''}{one.name}{' is REMOVED' if change == 'removed' else ''}"


def verdict_line(one: dict[str, Any]) -> str:
    """Return a verdict in one line, without its action: `tenants/…/web.yaml:3:9 hygiene/owner: say who answers for it`."""
    waived = f" (waived by {one['waived']['waiver']})" if one["waived"] else ""
    standing = " (standing)" if one["standing"] else ""
    soon = f" ({one['becomes']['level']} from {one['becomes']['from']})" if one.get("becomes") else ""
    return f"{one['file']}:{one['line']}:{one['column']} {one['rule']}{standing}{waived}{soon}: {one['message']}"


def fleet_notes(fleet: Fleet) -> Iterator[str]:
    """Yield what is to be said of a fleet as a whole."""
    yield from fleet.notes
    if fleet.uncompiled:
        yield f"why: {fleet.uncompiled}"
    if fleet.held:
        yield f"it would stay at its last release: {fleet.held}"
    if fleet.live is not None:
        yield from _live_lines(fleet.live)


def _live_lines(live: Live) -> Iterator[str]:
    """Yield what a server knows now of the hosts that are hit: one line for what is well, and one for each thing that is not."""
    versions = ", ".join(f"{one.version} ({one.agents:,})" for one in live.versions)
    yield f"now: {counted(live.known, 'host')} enrolled" + (f"; agents {versions}" if versions else "")
    said = (
        ("never enrolled", live.unknown),
        ("offline, so they get it later", live.offline),
        ("quarantined, so they get nothing", live.quarantined),
        ("held by an operator", live.held),
        ("drifted", live.drifted),
        ("failing already", live.failing),
    )
    for what, hosts in said:
        if hosts.count:
            yield f"now: {hosts.count:,} {what}: {names(hosts)}"
    for one in live.unserved:
        lacking = f"artifact {one.artifact}, which has no file for {one.platform}"
        yield f"now: {counted(one.hosts.count, 'host')} can't take {lacking}: {names(one.hosts)}"
    if live.unasked:
        yield f"now: of {counted(live.unasked, 'host')} drift, holds and platforms were not asked for, since they are many"


def field_of(item: Item) -> str:
    """Return what an item is: `file`, `artifact`, `process`."""
    return FIELDS.get(item.field, item.field)


def item_line(item: Item) -> str:
    """Return an item in one line, without its sign: `file /etc/motd, +2 -1, in mode incident; reloads service motd.service`."""
    lines = f" +{item.added} -{item.removed}" if item.change == "changed" else f" {counted(item.added or item.removed, 'line')}"
    mode = f", in mode {item.mode}" if item.mode else ""
    gone = ", REMOVED" if item.change == "removed" else ""
    told = (*item.effects, *(() if item.restored else ("not restored by a rollback",)))
    named = f"{field_of(item)} {item.name}".rstrip()
    return "; ".join([f"{named}{gone},{lines}{mode}", *told])


def left_out(item: Item) -> str:
    """Return what is said below an item's lines, empty where they are all there."""
    if item.withheld:
        return f"not shown: {item.withheld}"
    around = "" if item.alike or not item.lines else "the lines around differ from host to host"
    more = f"{item.more:,} more lines" if item.more and item.lines else ""
    return "; ".join(each for each in (more, around) if each)


def waves_title(fleet: Fleet) -> str:
    """Return what stands above the waves of a fleet."""
    return "waves, once nothing holds it up:" if fleet.held else "waves, if this were merged now and all goes well:"


def wave_line(wave: Wave) -> str:
    """Return a wave in one line: who is in it, when, and what it waits for."""
    to = f", to {wave.limit} of all" if wave.limit else ""
    labels = " ".join(f"{key}={value}" for key, value in wave.selector.items())
    chosen = f" with {labels}" if labels else ""
    hit = f", {wave.hit:,} of them hit" if wave.hit != wave.hosts.count else ""
    most = WAVE_NAMES if len(wave.hosts.names) <= NAMES_LIMIT else None  # more are there only where all were asked for
    if not wave.hosts.count:
        return f"{wave.name}: nobody new{chosen}{to}"
    return f"{wave.name}: {counted(wave.hosts.count, 'agent')}{chosen}{to}{hit} ({names(wave.hosts, most=most)}); {when(wave)}"


def when(wave: Wave) -> str:
    """Return when a wave starts at the earliest, and what comes after."""
    waits = f" (after {wave.waits_for})" if wave.waits_for else ""
    approved = ", once somebody has approved it" if wave.approval else ""
    rest = ", since the last stated wave makes the release stable" if wave.implied else ""
    soak = f", then {span(wave.soak)} of soak" if wave.soak else ""
    return f"from {wave.earliest}{waits}{approved}{rest}{soak}"


def span(seconds: int) -> str:
    """Return a length of time as manifests write it: `10m`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def waiver_line(waiver: UsedWaiver) -> str:
    """Return a waiver in one line."""
    used = "used here" if waiver.used else "not used here"
    ends = f"in {counted(waiver.days, 'day')}" if waiver.days else "within a day"
    soon = f", ENDS {ends}" if waiver.expiring else ""
    return f"{waiver.tenant}/{waiver.name} excuses {waiver.rule} on {waiver.object} until {waiver.expires} ({waiver.owner}); {used}{soon}"


def granted_lines(plan: Plan) -> list[str]:
    """Return what is to be said first of the waivers that the change grants itself: nobody but its reviewer vouches for them."""
    return [
        f"{one.tenant}/{one.name} excuses {one.rule} on {one.object} until {one.expires}, owner {one.owner}; {one.granted}"
        for one in plan.waivers
        if one.granted
    ]


def judge_lines(plan: Plan) -> Iterator[str]:
    """Yield what is to be said of the judge."""
    judge = plan.judge
    if judge.changed:
        yield "the judge itself changes: the base's judge decides, and the new one must agree"
    yield from (f"loosened: {said}" for said in judge.loosened)
    yield from (f"the new judge can't be used: {said}" for said in judge.refused)
    if judge.changed and not judge.refused:
        apart = f"{counted(len(judge.base_only), 'verdict')} by the base's judge alone, {len(judge.head_only)} by the new one alone"
        yield (
            f"on what the change leaves they differ: {apart}"
            if judge.base_only or judge.head_only
            else "on what the change leaves they agree"
        )
