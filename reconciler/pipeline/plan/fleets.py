"""What a change does to one fleet: who is hit, what lands there, in which waves, and what it means for those who leave."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.plan.hosts import NAMES_LIMIT, Crowd, crowd
from reconciler.pipeline.plan.noting import Noting
from reconciler.pipeline.plan.predicted import predicted
from reconciler.pipeline.plan.secrets import Veil
from reconciler.pipeline.plan.shape import Difference, Fleet, Item, Kind
from reconciler.pipeline.plan.sides import Sides

ITEMS_LIMIT = 100
"""Items shown of one difference."""
DIFFERENCES_LIMIT = 50
"""Differences shown of one fleet: sets of hosts to which something else happens than to others."""
KEEP = "keep what the fleet gave them until another fleet owns the paths, or they are decommissioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """How fleets are looked at: what is kept back, when it is, how many names are listed (None: all)."""

    now: datetime
    veil: Veil = field(default_factory=Veil)
    names: int | None = NAMES_LIMIT


def fleet_of(key: FleetKey, sides: Sides, looking: Looking, *, held: str) -> tuple[Fleet, Crowd] | None:
    """Return what the change does to a fleet, with its members; None where it does nothing to it."""
    old, new = sides.old.get(key), sides.new.get(key)
    document = sides.after.fleet(key) or sides.before.fleet(key)
    kind = _kind(key, sides, old, new) or ("held" if held else None)
    if document is None or kind is None:
        return None
    who = crowd(old, new, limit=looking.names)
    hit = sorted(hit_of(who, old, new))
    members = who.count({**new.pools, **new.agents}) if new is not None else 0
    differences, more = _differences(who, old, new, looking) if new is not None else ((), 0)
    shown = Fleet(
        fleet="/".join(key),
        kind=kind,
        file=document.path,
        members=members,
        hit=who.hosts(hit),
        share=round(100 * who.count(hit) / members, 1) if members else 0.0,
        joining=who.hosts(who.joining() if new is not None else ()),
        leaving=who.hosts(who.leaving() if kind == "deleted" or new is not None else ()),
        before=old.digest if old is not None else None,
        after=new.digest if new is not None else None,
        differences=differences,
        more=more,
        held=held,
        uncompiled=sides.failed.get(key, ""),
    )
    shown = replace(shown, **predicted(key, sides.after, old, new, who, hit=frozenset(hit), now=looking.now)) if new is not None else shown
    return replace(shown, notes=tuple(_notes(shown))), who


def _kind(key: FleetKey, sides: Sides, old: Compiled | None, new: Compiled | None) -> Kind | None:
    before, after = sides.before.fleet(key), sides.after.fleet(key)
    if after is None:
        return "deleted"
    if before is None:
        return "created"
    if key in sides.failed or old is None or new is None or old.digest != new.digest:
        return "changed"
    if old.agents != new.agents or old.pools != new.pools:
        return "members"
    return "settings" if before.spec != after.spec and _settings(before) != _settings(after) else None


def _settings(fleet: Document) -> dict[str, object]:
    return {name: value for name, value in fleet.spec.items() if name != "description"}


def hit_of(who: Crowd, old: Compiled | None, new: Compiled | None) -> Iterator[str]:
    """Yield who would run another state than now."""
    if new is None:
        return
    yield from who.joining()
    for before, after, names in who.staying():
        if old is None or old.bundle.groups.get(before) != new.bundle.groups[after]:
            yield from names


def _differences(who: Crowd, old: Compiled | None, new: Compiled, looking: Looking) -> tuple[tuple[Difference, ...], int]:
    """Return what differs, each alike on all of its hosts, for the most hosts first; and how many such sets are left out."""
    sets = list(who.by_groups.items())
    noting = Noting(withheld=looking.veil.over(old) | looking.veil.over(new), veiled=looking.veil.texts)
    for number, ((before, after), _) in enumerate(sets):
        if after is not None and before is None and old is not None:
            noting.join(number, new.bundle.groups[after])
        elif after is not None:
            former = old.bundle.groups[before] if old is not None and before is not None else None
            noting.look(number, former, new.bundle.groups[after])
    found = [
        _difference(who, [name for number in numbers for name in sets[number][1]], items) for numbers, items in noting.by_sets().items()
    ]
    found.sort(key=lambda one: (-one.hosts.count, one.hosts.names, one.items[0].name))
    return tuple(found[:DIFFERENCES_LIMIT]), max(0, len(found) - DIFFERENCES_LIMIT)


def _difference(who: Crowd, names: Sequence[str], items: Sequence[Item]) -> Difference:
    """Return some items on some hosts."""
    ordered = sorted(items, key=lambda one: (one.mode, one.change != "removed", one.field, one.name))[:ITEMS_LIMIT]
    return Difference(hosts=who.hosts(names), items=tuple(ordered), more=len(items) - len(ordered))


def _notes(fleet: Fleet) -> Iterator[str]:
    """Yield what the change means for hosts, beyond what lands on them."""
    if fleet.kind == "deleted":
        yield f"the fleet is deleted and its hosts ({fleet.leaving.count:,}) {KEEP}; nothing is removed from them"
    elif fleet.leaving.count:
        yield f"hosts that leave ({fleet.leaving.count:,}) {KEEP}"
    if fleet.kind == "created" and not fleet.members:
        yield "the fleet is new, and nobody is in it"
    if fleet.kind == "settings":
        yield "nothing reaches a host now: later releases go by the new settings"
    if fleet.at_once and fleet.joining.count:
        yield f"hosts that join ({fleet.joining.count:,}) get a release that is out already, so without waves"
