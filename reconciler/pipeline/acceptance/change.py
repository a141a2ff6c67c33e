"""The facts of a change, as rules of every scope see them: `input.change`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.pipeline.acceptance.proposal import Proposal, changed_objects
from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.index import MEMBER
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding, ObjectName
from reconciler.pipeline.manifests import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the edge knows of a change: commits from the examined head to the new one, and the decision time.

    `commits` are {sha, author, email, signer, time, paths}; `now` is RFC 3339 in UTC. From the first import on, `before` is
    the examined head; a working tree has neither. `since` is the time of the decision before: what ended or began in between is
    judged again though nothing touched it.
    """

    before: str | None
    head: str | None
    now: str
    commits: tuple[Mapping[str, Any], ...] = ()
    since: str | None = None
    signatures: tuple[Finding, ...] = ()
    """What signatures refuse of the change; see `signatures.review`."""


def change_input(
    facts: Facts, proposal: Proposal, compiled: Mapping[FleetKey, Compiled], released: Mapping[FleetKey, Compiled], loosened: Iterable[str]
) -> dict[str, Any]:
    """Return `input.change`: who and when, which objects, how many agents it hits, and how the judge was loosened.

    What signatures refuse is no part of the change: else whoever may push could have a rule refuse the rest of it.
    """
    objects = changed_objects(proposal)
    counted = proposal.touched - proposal.doubted
    judged = any(proposal.is_judge(path) for path in counted)
    return {
        "from": facts.before,
        "to": facts.head,
        "now": facts.now,
        "commits": [dict(commit) for commit in facts.commits],
        "objects": {kind: [_named(*one) for one in found if one[1].path in counted] for kind, found in objects.items()},
        "impact": impact(compiled, released, proposal.base.world),
        "judge": {"changed": judged, "loosened": list(loosened)},
    }


def _named(name: ObjectName, document: Document) -> dict[str, str]:
    return {"kind": name.kind, "tenant": name.tenant, "name": name.name, "file": document.path}


def impact(compiled: Mapping[FleetKey, Compiled], released: Mapping[FleetKey, Compiled], world: World) -> dict[str, Any]:
    """Return how many agents would run something else, in all and by label; a pool counts as its maximum.

    `total` and `total_by_label` count all agents that are accepted now, so a first import hits more than there were.
    """
    hit: dict[tuple[str, str], tuple[int, Mapping[str, str]]] = {}
    for fleet, new in compiled.items():
        old = released.get(fleet)
        if old is not None and old.digest == new.digest and old.agents == new.agents and old.pools == new.pools:
            continue
        for member in new.members_input() if old is None else _moved(old, new):
            hit[fleet[0], member["name"]] = (_weight(member), member["labels"])
    by_label: dict[str, dict[str, int]] = {}
    for weight, labels in hit.values():
        for key, value in labels.items():
            values = by_label.setdefault(key, {})
            values[value] = values.get(value, 0) + weight
    total, total_by_label = _totals(world, by_label)
    return {"agents": sum(weight for weight, _ in hit.values()), "total": total, "by_label": by_label, "total_by_label": total_by_label}


def _totals(world: World, by_label: Mapping[str, Mapping[str, int]]) -> tuple[int, dict[str, dict[str, int]]]:
    """Return how many agents there are, and how many have each of the labels that those hit have; indexes know, so nobody is looked at."""
    total = 0
    counted: dict[str, dict[str, int]] = {key: dict.fromkeys(values, 0) for key, values in by_label.items()}
    for index in world.tenants.values():
        members = index.of(MEMBER)
        more = {name: _size(members[name][0]) - 1 for name in index.kinds.get("AgentPool", ())}
        total += len(members) + sum(more.values())
        for key, values in counted.items():
            for value in values:
                names = index.labelled.get((key, value), frozenset())
                values[value] += len(names)
                if more:
                    values[value] += sum(more[name] for name in more if name in names)
    return total, counted


def _moved(old: Compiled, new: Compiled) -> Iterable[Mapping[str, Any]]:
    before = {**old.pools, **old.agents}
    for member in new.members_input():
        held = before.get(member["name"])
        state = old.bundle.groups.get(held.group) if held else None
        if state is None or state != new.bundle.groups[member["group"]]:
            yield member


def _weight(member: Mapping[str, Any]) -> int:
    return int(member.get("maximum", 1)) if member.get("pool") else 1


def _size(document: Document) -> int:
    maximum = document.spec.get("maximum", 1) if document.kind == "AgentPool" else 1
    return maximum if isinstance(maximum, int) else 1
