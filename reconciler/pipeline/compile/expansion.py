"""Which components a fleet consists of, once each, with those that they include before them.

A component that is reached twice counts once. Whoever only needs it to be there gives no parameters; of those who give
some, all must give the same, since one host can't hold two versions of one path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across, did_you_mean
from reconciler.pipeline.compile.index import COMPONENT
from reconciler.pipeline.compile.manifest import LIBRARY_PREFIX, Use
from reconciler.pipeline.compile.world import LIBRARY, World
from reconciler.pipeline.finding import Finding, ObjectName, Place
from reconciler.pipeline.manifests import Document

DEPTH_LIMIT = 32
"""Includes within includes: deeper ones are a mistake, and recursion needs a bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A component as a part of a fleet; `ref` is its name as the fleet's tenant writes it."""

    ref: str
    document: Document
    given: Mapping[str, Any]
    """Parameters by the fleet or component that uses it."""
    user: Document
    use: Use

    @property
    def given_at(self) -> Place:
        """Where the one who uses it does so."""
        return self.user.place(*self.use.pointer)


@dataclass(slots=True, kw_only=True)
class Expansion:
    """The components of a fleet (or of a component, itself last), in order, and what is wrong with them."""

    instances: dict[str, Instance] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def expand(world: World, tenant: str, document: Document) -> Expansion:
    """Return the components of a fleet, depth first; `tenant` is the fleet's."""
    expansion = Expansion()
    for use in manifest.uses(document):
        _reach(world, tenant, expansion, (document,), use)
    return expansion


def _reach(world: World, tenant: str, expansion: Expansion, chain: tuple[Document, ...], use: Use) -> None:
    user = chain[-1]
    found = world.component(tenant, use.ref)
    if found is None or not _may_use(user, use):
        expansion.findings.append(_missing(world, tenant, user, use))
        return
    if any(found is link for link in chain):
        expansion.findings.append(_cycle(chain, found, use))
        return
    known = expansion.instances.get(use.ref)
    if known is not None:
        _reach_again(expansion, known, user, use)
        return
    if len(chain) > DEPTH_LIMIT:
        message = f"includes stand {len(chain)} deep within each other, more than {DEPTH_LIMIT}"
        expansion.findings.append(
            across("include-depth", user, use.pointer, message, remedy="include components more directly", also=chain)
        )
        return
    for inner in manifest.uses(found):
        _reach(world, tenant, expansion, (*chain, found), inner)
    if use.ref not in expansion.instances:
        expansion.instances[use.ref] = Instance(ref=use.ref, document=found, given=use.parameters, user=user, use=use)


def _may_use(user: Document, use: Use) -> bool:
    of_library = user.name is not None and user.kind == "Component" and not user.name.tenant
    return use.ref.startswith(LIBRARY_PREFIX) or not of_library


def _reach_again(expansion: Expansion, known: Instance, user: Document, use: Use) -> None:
    if not use.parameters or use.parameters == known.given:
        return
    if not known.given:
        expansion.instances[use.ref] = Instance(ref=known.ref, document=known.document, given=use.parameters, user=user, use=use)
        return
    message = f"component {use.ref} is used twice with different parameters: here by {user.name}, and by {known.user.name}"
    remedy = "give its parameters in one place; an include without parameters only says that it must be there"
    also = (known.given_at, known.document)
    expansion.findings.append(across("parameter-conflict", user, (*use.pointer, "parameters"), message, remedy=remedy, also=also))


def _missing(world: World, tenant: str, user: Document, use: Use) -> Finding:
    pointer = (*use.pointer, "name")
    owner, name = owner_of(tenant, use.ref)
    if not _may_use(user, use):
        message = f"a component of the library includes components of the library only, and {use.ref} is none"
        remedy = f"write {LIBRARY_PREFIX}{name}, and put that component into {world.layout.library}/"
        return across("missing-component", user, pointer, message, remedy=remedy)
    known = {*world.tenant(tenant).of(COMPONENT), *(LIBRARY_PREFIX + one for one in world.tenant(LIBRARY).of(COMPONENT))}
    where = "the library" if owner == LIBRARY else f"tenant {tenant}"
    message = f"there is no component {name} in {where}; {did_you_mean(use.ref, known)}"
    missing = ObjectName(kind="Component", tenant=owner, name=name)
    remedy = f"name a component that exists; {LIBRARY_PREFIX}<name> means one of the library, any other name one of this tenant"
    return across("missing-component", user, pointer, message, remedy=remedy, missing=(missing,))


def _cycle(chain: tuple[Document, ...], found: Document, use: Use) -> Finding:
    start = next(index for index, link in enumerate(chain) if link is found)
    ring = chain[start:]
    first = min(range(len(ring)), key=lambda index: ring[index].path)
    turned = (*ring[first:], *ring[:first])
    names = " → ".join(link.name.name for link in (*turned, turned[0]) if link.name is not None)
    pointer = use.pointer if turned[-1] is chain[-1] else _use_of(turned[-1], turned[0])
    return across(
        "include-cycle",
        turned[-1],
        pointer,
        f"components include each other in a circle: {names}",
        remedy="move what both need into a component of its own that both include",
        also=turned,
    )


def _use_of(user: Document, used: Document) -> tuple[str | int, ...]:
    name = used.name.name if used.name is not None else ""
    return next((use.pointer for use in manifest.uses(user) if use.ref.removeprefix(LIBRARY_PREFIX) == name), ("spec", "includes"))


def owner_of(tenant: str, ref: str) -> tuple[str, str]:
    """Return (tenant or library, name) of what a reference to a component means."""
    name = ref.removeprefix(LIBRARY_PREFIX)
    return (LIBRARY, name) if name != ref else (tenant, name)
