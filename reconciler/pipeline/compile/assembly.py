"""A fleet with all that is known of it before its states are built: components, parts, texts, members, and what is wrong."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.claims import check_parts
from reconciler.pipeline.compile.expansion import Expansion, Instance, expand
from reconciler.pipeline.compile.findings import across, denied, merged, named
from reconciler.pipeline.compile.groups import Group, Membership, check_size, group, members_of
from reconciler.pipeline.compile.making import parts_of
from reconciler.pipeline.compile.notified import check_notified
from reconciler.pipeline.compile.order import check_order
from reconciler.pipeline.compile.ownership import check_ownership
from reconciler.pipeline.compile.parameters import check_declarations, check_given, declared, layered
from reconciler.pipeline.compile.parts import Field, Part
from reconciler.pipeline.compile.placement import check_claims
from reconciler.pipeline.compile.recipients import check_recipients
from reconciler.pipeline.compile.secrets import check_declared, check_secrets, check_unused
from reconciler.pipeline.compile.texts import Text, check_provenance, check_sources, check_texts, texts_of
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A fleet, ready to be built where no finding denies it."""

    key: FleetKey
    fleet: Document
    instances: Mapping[str, Instance]
    parts: Mapping[Field, Sequence[Part]]
    texts: Mapping[str, Sequence[Text]]
    """By component."""
    membership: Membership
    findings: Sequence[Finding]

    @property
    def denied(self) -> list[Finding]:
        """What keeps the fleet from being compiled."""
        return denied(self.findings)


class Components:
    """What is wrong with each component by itself: looked at once, however many fleets use it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._known: dict[int, tuple[Document, tuple[Finding, ...]]] = {}

    def findings(self, component: Document) -> tuple[Finding, ...]:
        """Return the findings of a component, as `check_component`."""
        if id(component) not in self._known:
            self._known[id(component)] = component, tuple(check_component(component, self.tree))
        return self._known[id(component)][1]


def assemble(world: World, tree: Tree, key: FleetKey, components: Components | None = None) -> Assembly:
    """Return a fleet with everything that is wrong with it; raise `KeyError` if there is no such fleet.

    `components` remembers from one fleet of this tree to the next.
    """
    components = components or Components(tree)
    tenant, _ = key
    fleet = world.fleet(key)
    if fleet is None:
        raise KeyError(key)
    expansion = expand(world, tenant, fleet)
    texts = {ref: tuple(texts_of(instance.document, tree)) for ref, instance in expansion.instances.items()}
    parts = parts_of((ref, instance.document) for ref, instance in expansion.instances.items())
    used = {name for component in texts.values() for text in component for space, name, _ in text.used if space == "labels"}
    membership = group(members_of(world, tenant, fleet), manifest.variants(fleet), used)
    findings = [
        *check_claims(world, key, expansion, membership),
        *expansion.findings,
        *(finding for instance in expansion.instances.values() for finding in components.findings(instance.document)),
        *check_given(fleet, expansion),
        *check_parts(fleet, parts),
        *_check_whole(fleet, parts, expansion, texts),
        *check_ownership(world, key, parts, membership.documents),
        *check_size(fleet, membership, used, [instance.document for instance in expansion.instances.values()]),
        *_check_members(fleet, expansion, texts, membership),
        *check_recipients(fleet, parts["secrets"], membership.documents, tree),
    ]
    name = "/".join(key)
    reached = [replace(finding, fleets=finding.fleets | {name}) if finding.action == "deny" else finding for finding in merged(findings)]
    return Assembly(key=key, fleet=fleet, instances=expansion.instances, parts=parts, texts=texts, membership=membership, findings=reached)


def _check_whole(
    fleet: Document, parts: Mapping[Field, Sequence[Part]], expansion: Expansion, texts: Mapping[str, Sequence[Text]]
) -> Iterator[Finding]:
    """Yield what would never be restarted, started or known; not where a component is missing, which may bring the rest."""
    if not expansion.findings:
        yield from check_notified(fleet, parts)
        yield from check_order(fleet, parts, {ref: instance.document for ref, instance in expansion.instances.items()})
        yield from check_declared(fleet, [text for component in texts.values() for text in component], parts["secrets"])
        yield from check_unused([text for component in texts.values() for text in component], parts["secrets"])


def check_component(component: Document, tree: Tree) -> Iterator[Finding]:
    """Yield what is wrong with a component by itself, whoever uses it; its includes are `expand`'s."""
    yield from check_declarations(component)
    yield from check_sources(component, tree)
    yield from check_provenance(component, tree)
    texts = list(texts_of(component, tree))
    yield from check_texts(component, texts)
    yield from check_secrets(component, tree, texts)


def _check_members(fleet: Document, expansion: Expansion, texts: Mapping[str, Sequence[Text]], membership: Membership) -> Iterator[Finding]:
    for ref, instance in expansion.instances.items():
        yield from _missing_parameters(fleet, instance, membership)
        yield from _missing_labels(fleet, texts[ref], membership)


def _missing_parameters(fleet: Document, instance: Instance, membership: Membership) -> Iterator[Finding]:
    without: dict[str, list[str]] = {}
    for each in membership.groups.values():
        values = layered(instance, each.variants)
        for name in declared(instance.document):
            if name not in values:
                without.setdefault(name, []).extend(each.members)
    for name, members in without.items():
        members.sort()
        message = f"parameter {name} of component {instance.ref} has no value for {named(members)}"
        remedy = "give it a default, a value in the fleet, or one in a variant that matches them"
        also = (instance.document, *(membership.documents[member] for member in members), *_given_place(fleet, instance))
        pointer = instance.use.pointer if instance.user is fleet else ("spec", "components")
        yield across("missing-parameter", fleet, pointer, message, remedy=remedy, also=also)


def _given_place(fleet: Document, instance: Instance) -> Iterable[Document]:
    return () if instance.user is fleet else (instance.user,)


def _missing_labels(fleet: Document, texts: Sequence[Text], membership: Membership) -> Iterator[Finding]:
    for text in texts:
        for space, name, offset in text.used:
            if space == "labels":
                without = _without(membership.groups.values(), name)
                if without:
                    message = f"${{labels.{name}}} has no value for {named(without)}: no such label there"
                    remedy = f"give them the label {name}, or write $${{labels.{name}}} for the literal text"
                    also = (fleet, *(membership.documents[member] for member in without))
                    yield across("unresolved-reference", text.document, (), message, remedy=remedy, place=text.place(offset), also=also)


def _without(groups: Iterable[Group], label: str) -> list[str]:
    return sorted(member for each in groups if label not in each.labels for member in each.members)
