"""Who is in a fleet, and in which group: those share one that match the same variants and have the same values of used labels.

A group is named by what makes it one, so that variants may be reordered, added and removed without renaming the groups that
they do not concern, and a host stays where it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from agent.protocol import codec
from agent.protocol.bundle import GROUPS_LIMIT
from agent.protocol.rollout import matches
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across, named
from reconciler.pipeline.compile.index import Index
from reconciler.pipeline.compile.manifest import Layer
from reconciler.pipeline.compile.world import World
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document

NAME_DIGITS = 12
"""Hexadecimal digits of a group's name: two of 1,000 groups clash once in 5·10^8 fleets, and a clash is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Members that hold the same state. `labels` are the values of used labels that they have."""

    name: str
    variants: tuple[Layer, ...]
    labels: Mapping[str, str]
    members: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A fleet's agents and pools: by name their documents, and by name their group."""

    documents: Mapping[str, Document]
    groups: Mapping[str, Group]


def selected(index: Index, selector: Mapping[str, str]) -> AbstractSet[str]:
    """Return the names of a tenant's members that a selector matches; an empty one matches all."""
    if not selector:
        return index.of("member").keys()
    sets = sorted((index.labelled.get(pair, frozenset()) for pair in selector.items()), key=len)
    return set(sets[0]).intersection(*sets[1:]) if len(sets) > 1 else sets[0]


def members_of(world: World, tenant: str, fleet: Document) -> dict[str, Document]:
    """Return a fleet's members by name, in order of name."""
    index = world.tenant(tenant)
    members = index.of("member")
    return {name: members[name][0] for name in sorted(selected(index, manifest.selector(fleet)))}


def group(members: Mapping[str, Document], variants: Sequence[Layer], used_labels: Iterable[str]) -> Membership:
    """Return the members by group. Labels are looked at once for each distinct set of values that matters."""
    used = tuple(sorted(set(used_labels)))
    keys = tuple(sorted({*used, *(key for variant in variants for key in variant.selector)}))
    by_values: dict[tuple[str | None, ...], list[str]] = {}
    for name, document in members.items():
        labels = document.labels
        by_values.setdefault(tuple(labels.get(key) for key in keys), []).append(name)
    parts: dict[str, tuple[tuple[Layer, ...], dict[str, str], list[str]]] = {}
    for values, names in by_values.items():
        labels = {key: value for key, value in zip(keys, values, strict=True) if isinstance(value, str)}
        matching = tuple(variant for variant in variants if matches(labels, variant.selector))
        seen = {key: labels[key] for key in used if key in labels}
        parts.setdefault(group_name(matching, seen), (matching, seen, []))[2].extend(names)
    groups = {
        name: Group(name=name, variants=matching, labels=seen, members=tuple(sorted(names)))
        for name, (matching, seen, names) in sorted(parts.items())
    }
    return Membership(documents=members, groups=groups)


def group_name(variants: Sequence[Layer], labels: Mapping[str, str]) -> str:
    """Return the name of the group that matches these variants and has these values of used labels."""
    key = {"variants": [dict(variant.selector) for variant in variants], "labels": dict(labels)}
    return "g-" + codec.sha256(codec.canonical(key))[:NAME_DIGITS]


def check_size(fleet: Document, membership: Membership, used_labels: Iterable[str], components: Iterable[Document]) -> Iterable[Finding]:
    """Yield a finding where a fleet has more groups than a bundle may hold: any of its files may have brought the last one."""
    if len(membership.groups) > GROUPS_LIMIT:
        message = (
            f"the fleet falls into {len(membership.groups)} groups, more than {GROUPS_LIMIT}: "
            f"its components refer to the labels {named(sorted(set(used_labels)), limit=10)}"
        )
        remedy = "refer to fewer labels, to those with fewer values, or to ${agent.name}, which makes no groups"
        also = (*components, *membership.documents.values())
        yield across("too-many-groups", fleet, ("spec", "components"), message, remedy=remedy, also=also)
