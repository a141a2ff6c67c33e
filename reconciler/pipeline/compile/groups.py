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
from reconciler.pipeline.compile.index import MEMBER, Index, Pair
from reconciler.pipeline.compile.manifest import Layer
from reconciler.pipeline.compile.world import World
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document

NAME_DIGITS = 12
"""Hexadecimal digits of a group's name: two of 1,000 groups clash once in 5 * 10^8 fleets, and a clash is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Members that hold the same state. `labels` are the values of used labels that they have."""

    name: str
    variants: tuple[Layer, ...]
    labels: Mapping[str, str]
    members: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A fleet's agents and pools by name, and its groups by name. `clash`: two groups would have the same name."""

    documents: Mapping[str, Document]
    groups: Mapping[str, Group]
    clash: bool = False


def selected(index: Index, selector: Mapping[str, str]) -> AbstractSet[str]:
    """Return the names of a tenant's members that a selector matches; an empty one matches all."""
    if not selector:
        return index.of(MEMBER).keys()
    sets = sorted((index.labelled.get(pair, frozenset()) for pair in selector.items()), key=len)
    return set(sets[0]).intersection(*sets[1:]) if len(sets) > 1 else sets[0]


def members_of(world: World, tenant: str, fleet: Document) -> dict[str, Document]:
    """Return a fleet's members by name, in order of name."""
    index = world.tenant(tenant)
    members = index.of(MEMBER)
    return {name: members[name][0] for name in sorted(selected(index, manifest.selector(fleet)))}


def group(members: Mapping[str, Document], variants: Sequence[Layer], used_labels: Iterable[str]) -> Membership:
    """Return the members by group. Labels are looked at once for each distinct set of values that matters."""
    used = tuple(sorted(set(used_labels)))
    keys = tuple(sorted({*used, *(key for variant in variants for key in variant.selector)}))
    by_values: dict[tuple[str | None, ...], list[str]] = {}
    for name, document in members.items():
        carried = manifest.labels(document)
        by_values.setdefault(tuple(carried.get(key) for key in keys), []).append(name)
    parts: dict[tuple[tuple[int, ...], tuple[Pair, ...]], list[str]] = {}
    for values, names in by_values.items():
        labels = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        matching = tuple(index for index, variant in enumerate(variants) if matches(labels, variant.selector))
        parts.setdefault((matching, tuple((key, labels[key]) for key in used if key in labels)), []).extend(names)
    made = [_group([variants[index] for index in matching], dict(seen), names) for (matching, seen), names in parts.items()]
    groups = {one.name: one for one in sorted(made, key=lambda one: one.name)}
    return Membership(documents=members, groups=groups, clash=len(groups) < len(made))


def _group(variants: Sequence[Layer], labels: Mapping[str, str], names: Iterable[str]) -> Group:
    return Group(name=group_name(variants, labels), variants=tuple(variants), labels=labels, members=tuple(sorted(names)))


def group_name(variants: Sequence[Layer], labels: Mapping[str, str]) -> str:
    """Return the name of the group that matches these variants and has these values of used labels."""
    key = {"variants": [dict(variant.selector) for variant in variants], "labels": dict(labels)}
    return "g-" + codec.sha256(codec.canonical(key))[:NAME_DIGITS]


def check_size(fleet: Document, membership: Membership, used_labels: Iterable[str], components: Iterable[Document]) -> Iterable[Finding]:
    """Yield a finding where a bundle can't hold the groups of a fleet: any of its files may have brought the last one."""
    also = (*components, *membership.documents.values())
    if membership.clash:
        message = "two groups of the fleet would have the same name, which happens by chance once in 500 million fleets"
        remedy = "change the value of a label that the components refer to, or the selector of a variant"
        yield across("group-clash", fleet, ("spec", "variants"), message, remedy=remedy, also=also)
    if len(membership.groups) > GROUPS_LIMIT:
        message = (
            f"the fleet falls into {len(membership.groups)} groups, more than {GROUPS_LIMIT}: "
            f"its components refer to the labels {named(sorted(set(used_labels)), limit=10)}"
        )
        remedy = "refer to fewer labels, to those with fewer values, or to ${agent.name}, which makes no groups"
        yield across("too-many-groups", fleet, ("spec", "components"), message, remedy=remedy, also=also)
