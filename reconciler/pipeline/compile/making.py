"""From what components say to the items of a state: each section of a component's spec, and what is made of its items."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.order import resources_after
from reconciler.pipeline.compile.parts import FIELDS, Field, Part
from reconciler.pipeline.compile.quadlets import container_parts
from reconciler.pipeline.compile.units import service_parts
from reconciler.pipeline.finding import Pointer
from reconciler.pipeline.manifests import Document

Maker = Callable[[str, Document, Pointer, Mapping[str, Any]], Iterator[Part]]
"""(component, document, pointer, item) → the parts that one item of a list is."""


def parts_of(components: Iterable[tuple[str, Document]]) -> dict[Field, list[Part]]:
    """Return the parts of components (name as the fleet's tenant writes it, document), each list sorted as in a state."""
    components = list(components)
    found: dict[Field, list[Part]] = {field: [] for field in FIELDS}
    for ref, document in components:
        for section in document.spec:
            for part in _of_section(ref, document, section):
                found[part.field].append(part)
    for field, parts in found.items():
        found[field] = sorted(parts, key=lambda part: (part.name, part.ref))  # stable: in the order of their manifest
    return resources_after(found, {ref: manifest.sequence(document.spec.get("after")) for ref, document in components})


def _of_section(ref: str, document: Document, section: str) -> Iterator[Part]:
    if section in MAKERS:
        for index, item in manifest.items(document, section):
            yield from MAKERS[section](ref, document, ("spec", section, index), item)
    elif section == "kernelSettings":
        yield from _kernel_parts(ref, document)
    elif section == "reboot" and isinstance(document.spec[section], dict):
        yield Part(field="reboot", ref=ref, document=document, pointer=("spec", section), item=document.spec[section])


def _same(field: Field) -> Maker:
    """Return the maker of what a state has just as a manifest has it."""

    def made(ref: str, document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Part]:
        yield Part(field=field, ref=ref, document=document, pointer=pointer, item=item)

    return made


def _repository(ref: str, document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Part]:
    places = {"key": (*pointer, "source")} if "source" in item else {}
    yield Part(field="repositories", ref=ref, document=document, pointer=pointer, item=item, places=places)


def _kernel_parts(ref: str, document: Document) -> Iterator[Part]:
    stated = manifest.mapping(document.spec.get("kernelSettings"))
    at: Pointer = ("spec", "kernelSettings")
    for name, value in manifest.mapping(stated.get("sysctl")).items():
        pointer = (*at, "sysctl", name)
        item = {"name": name, "value": value if isinstance(value, str) else str(value)}
        places = {"name": pointer, "value": pointer}
        yield Part(field="sysctls", ref=ref, document=document, pointer=pointer, item=item, places=places)
    for index, name in enumerate(manifest.sequence(stated.get("modules"))):
        pointer = (*at, "modules", index)
        yield Part(field="modules", ref=ref, document=document, pointer=pointer, item={"name": name}, places={"name": pointer}, texts_at=())


MAKERS: Mapping[str, Maker] = {
    "artifacts": _same("artifacts"),
    "files": _same("files"),
    "probes": _same("probes"),
    "processes": _same("processes"),
    "services": service_parts,
    "containers": container_parts,
    "actions": _same("actions"),
    "packageRepositories": _repository,
    "packages": _same("packages"),
    "groups": _same("groups"),
    "users": _same("users"),
    "hostFiles": _same("hostFiles"),
    "secrets": _same("secrets"),
}
"""What makes parts of the items of each list."""
