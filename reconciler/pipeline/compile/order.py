"""What starts before what: `after` of resources and of components, brought down to one order of processes and services."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import islice

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across, did_you_mean
from reconciler.pipeline.compile.manifest import LIBRARY_PREFIX
from reconciler.pipeline.compile.parts import Field, Part
from reconciler.pipeline.compile.texts import FINDINGS_LIMIT
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import Document

ORDERED: Mapping[Field, str] = {"processes": "process/", "services": "service/"}
"""What runs, and so has an order, and how `after` names it."""
RUNNING_LIMIT = 500
"""Processes and services of a fleet: five times what a host was seen to run, and each may come after all others."""
_CONTAINER = "container/"


def resource(part: Part) -> str:
    """Return how `after` names a process or a service: process/db, service/nginx.service."""
    return ORDERED[part.field] + part.name


def resources_after(parts: dict[Field, list[Part]], components: Mapping[str, Sequence[object]]) -> dict[Field, list[Part]]:
    """Return the parts with `after` as a state has it: resources only, those of the components that theirs comes after among them.

    `components` is what `after` of each component says, by its name in the fleet; names that mean nothing are left out.
    """
    stated = any("after" in part.item for field in ORDERED for part in parts[field])
    if (not stated and not any(components.values())) or sum(len(parts[field]) for field in ORDERED) > RUNNING_LIMIT:
        return parts
    own: dict[str, list[str]] = {}
    for field in ORDERED:
        for part in parts[field]:
            own.setdefault(part.ref, []).append(resource(part))
    before = {ref: _before(ref, components, own) for ref in own}
    return {field: [_ordered(part, before) for part in listed] if field in ORDERED else listed for field, listed in parts.items()}


def _before(ref: str, components: Mapping[str, Sequence[object]], own: Mapping[str, list[str]]) -> list[str]:
    """Return the resources of the components before one; one that has none hands on those before it."""
    found: list[str] = []
    waiting = [one for one in components.get(ref, ()) if isinstance(one, str)]
    seen = {ref}
    while waiting:
        other = waiting.pop()
        if other not in seen:
            seen.add(other)
            found += own.get(other, ())
            if other not in own:
                waiting += [one for one in components.get(other, ()) if isinstance(one, str)]
    return found


def _ordered(part: Part, before: Mapping[str, list[str]]) -> Part:
    stated = [written(one) for one in manifest.sequence(part.item.get("after")) if isinstance(one, str)]
    after = sorted({*stated, *before[part.ref]} - {resource(part)}) if stated or before[part.ref] else []
    return replace(part, item={**part.item, "after": after}) if after else part


def written(name: str) -> str:
    """Return the resource that a name in `after` means: a container is the service that runs it."""
    return f"{ORDERED['services']}{name.removeprefix(_CONTAINER)}.service" if name.startswith(_CONTAINER) else name


def check_order(user: Document, parts: Mapping[Field, Sequence[Part]], components: Mapping[str, Document]) -> Iterator[Finding]:
    """Yield the first names in `after` that mean nothing in a fleet, and what would have to start before itself."""
    there = {resource(part): part for field in ORDERED for part in parts[field]}
    if len(there) > RUNNING_LIMIT:
        message = f"{user.name} runs {len(there):,} processes and services on each host, more than {RUNNING_LIMIT}"
        yield across(
            "too-much-running", user, ("spec", "components"), message, remedy="divide the hosts, or run fewer", also=components.values()
        )
        return
    unknown = [*islice(_components_unknown(user, components), FINDINGS_LIMIT), *islice(_resources_unknown(user, there), FINDINGS_LIMIT)]
    yield from unknown
    if not unknown:
        yield from _cycles(user, there, components)


def _components_unknown(user: Document, components: Mapping[str, Document]) -> Iterator[Finding]:
    for ref, document in components.items():
        for index, name in enumerate(manifest.sequence(document.spec.get("after"))):
            of_library = ref.startswith(LIBRARY_PREFIX)
            there = [one for one in components if one.startswith(LIBRARY_PREFIX)] if of_library else components
            if isinstance(name, str) and name not in there:
                whose = "component of the library here" if of_library else f"component of {user.name}"
                message = f"component {ref} comes after {name}, which is no {whose}; {did_you_mean(name, {*there} - {ref})}"
                remedy = "name a component that the fleet lists or that one of those includes, or leave it out"
                yield across("after", document, ("spec", "after", index), message, remedy=remedy, also=[user])


def _resources_unknown(user: Document, there: Mapping[str, Part]) -> Iterator[Finding]:
    for part in {(id(part.document), part.pointer): part for part in sorted(there.values(), key=resource, reverse=True)}.values():
        for pointer, name in _stated(part):
            if written(name) not in there:
                near = did_you_mean(name, there.keys() - {resource(part)})
                message = f"{resource(part)} comes after {name}, which is nothing that {user.name} runs; {near}"
                remedy = "name a process, service or container of this fleet; order against other units of the host by After= in a drop-in"
                yield across("after", part.document, pointer, message, remedy=remedy, also=[user])


def _stated(part: Part) -> Iterator[tuple[Pointer, str]]:
    """Yield where a part's manifest says what it comes after, and what: the first of several parts of one item speaks for all."""
    item = dict(manifest.items(part.document, part.section)).get(int(part.pointer[2]), {})
    for index, name in enumerate(manifest.sequence(item.get("after"))):
        if isinstance(name, str):
            yield (*part.pointer, "after", index), name


def _cycles(user: Document, there: Mapping[str, Part], components: Mapping[str, Document]) -> Iterator[Finding]:
    after = {
        name: [one for one in manifest.sequence(part.item.get("after")) if isinstance(one, str) and one in there]
        for name, part in there.items()
    }
    ring = cycle(after)
    if ring:
        first = there[ring[0]]
        names = " → ".join([*ring, ring[0]])
        message = f"these start after each other in a circle, so none could be first: {names}"
        remedy = "leave one of them out of `after`, there or in the `after` of a component"
        places = [there[name].document.place(*there[name].at("after")) for name in ring]
        others = [components[there[name].ref].place("spec", "after") for name in ring if components[there[name].ref].spec.get("after")]
        yield across("after", first.document, first.at("after"), message, remedy=remedy, also=[*places, *others, user])


def cycle(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a circle in an order, each with what it comes after behind it, the least name first; empty where there is none."""
    try:
        TopologicalSorter({name: sorted(after[name]) for name in sorted(after)}).prepare()
    except CycleError as error:
        ring = error.args[1][:0:-1]  # its last is its first again, and each comes before the next
        least = ring.index(min(ring))
        return [*ring[least:], *ring[:least]]
    return []
