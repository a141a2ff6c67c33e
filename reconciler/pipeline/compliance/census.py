"""From what was found on which object to who conforms: pure counting, the same for today and for each commit of the trend."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.pipeline.compile.expansion import expand
from reconciler.pipeline.compile.groups import members_of
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.compliance.shape import ORDER, GroupRow, Share, State, share_of
from reconciler.pipeline.finding import ObjectName

COUNTED = frozenset({"deny", "warn"})
"""Levels at which a finding makes an object not conform: at audit, nobody has been told yet."""
VALUES_LIMIT = 20
"""Values of a label up to which agents are counted by it: one with more tells agents apart rather than grouping them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One finding, as far as counting needs it: `level` is what its rule does there."""

    rule: str
    level: str
    object: ObjectName
    waived: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The state of each object and of each agent or pool, (tenant, name), and the agents of each fleet."""

    objects: Mapping[ObjectName, State]
    agents: Mapping[FleetKey, State]
    members: Mapping[FleetKey, frozenset[FleetKey]]
    parts: Mapping[FleetKey, frozenset[ObjectName]]
    labels: Mapping[FleetKey, Mapping[str, str]] = field(default_factory=dict)


def take(world: World, marks: Iterable[Mark]) -> Census:
    """Return who conforms in a world."""
    objects: dict[ObjectName, State] = {one.name: "conforms" for one in world.documents() if one.name is not None}
    for mark in marks:
        if mark.level in COUNTED and mark.object in objects:
            objects[mark.object] = worst((objects[mark.object], "waived" if mark.waived else "standing"))
    members = {key: frozenset((key[0], name) for name in _members(world, key)) for key in world.fleets()}
    parts = {key: frozenset(_parts(world, key)) for key in world.fleets()}
    whole = {key: worst(objects.get(name, "conforms") for name in found) for key, found in parts.items()}
    agents: dict[FleetKey, State] = {}
    labels: dict[FleetKey, Mapping[str, str]] = {}
    for tenant in world.names:
        for name, documents in world.members(tenant).items():
            own = documents[0].name
            agents[tenant, name] = objects.get(own, "conforms") if own is not None else "conforms"
            labels[tenant, name] = {key: value for key, value in documents[0].labels.items() if isinstance(value, str)}
    for fleet, among in members.items():
        for agent in among:
            agents[agent] = worst((agents[agent], whole[fleet]))
    return Census(objects=objects, agents=agents, members=members, parts=parts, labels=labels)


def worst(states: Iterable[State]) -> State:
    """Return the worst of some states; of none, that all is well."""
    return max(states, key=ORDER.index, default="conforms")


def totals(census: Census) -> tuple[Share, Share]:
    """Return the shares of all objects, and of all agents and pools."""
    return share_of(census.objects.values()), share_of(census.agents.values())


def by_tenant(census: Census) -> Iterator[GroupRow]:
    """Yield each tenant's objects and agents; what belongs to none stands last, without a name."""
    names = {name.tenant for name in census.objects}
    for tenant in sorted(names, key=lambda name: (not name, name)):
        yield GroupRow(
            name=tenant,
            objects=share_of(state for name, state in census.objects.items() if name.tenant == tenant),
            agents=share_of(state for (owner, _), state in census.agents.items() if owner == tenant),
        )


def by_fleet(census: Census) -> Iterator[GroupRow]:
    """Yield each fleet's own manifest with its components, and its agents."""
    for key, names in census.parts.items():
        yield GroupRow(
            name="/".join(key),
            objects=share_of(census.objects[name] for name in names if name in census.objects),
            agents=share_of(census.agents[name] for name in census.members[key]),
        )


def by_label(census: Census, wanted: Iterable[str] = ()) -> Iterator[GroupRow]:
    """Yield the agents of each value of a label, of the `wanted` ones; left out, of those that have few values."""
    values: dict[str, dict[str, list[State]]] = {}
    for agent, labels in census.labels.items():
        for key, value in labels.items():
            values.setdefault(key, {}).setdefault(value, []).append(census.agents[agent])
    chosen = set(wanted) or {key for key, found in values.items() if len(found) <= VALUES_LIMIT}
    for key in sorted(values.keys() & chosen):
        for value, states in sorted(values[key].items()):
            yield GroupRow(name=f"{key}={value}", agents=share_of(states))


def _members(world: World, key: FleetKey) -> Iterable[str]:
    document = world.fleet(key)
    return members_of(world, key[0], document) if document is not None else ()


def _parts(world: World, key: FleetKey) -> Iterator[ObjectName]:
    """Yield a fleet and the components that it reaches; one that is missing is nobody's."""
    document = world.fleet(key)
    if document is None or document.name is None:
        return
    yield document.name
    for instance in expand(world, key[0], document).instances.values():
        if instance.document.name is not None:
            yield instance.document.name
