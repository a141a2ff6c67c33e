"""Reading fields of manifests that a schema has already allowed.

Whoever compiles must not fall over a value that a schema would have refused, so what has another shape than it should
reads as absent here: the schema's finding has said it already.
"""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.pipeline.finding import Pointer
from reconciler.pipeline.manifests import SOURCES_DIRECTORY, Document

LIBRARY_PREFIX = "library/"
"""How a component of the library is named by those who use it, wherever the library's directory lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A component that a fleet lists or a component includes; `pointer` leads to the item."""

    ref: str
    parameters: Mapping[str, Any]
    pointer: Pointer


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A variant or a mode of a fleet: values by component and parameter; a mode's selector is empty."""

    name: str
    selector: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, Any]]
    at_most: str
    pointer: Pointer


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping, empty where the value is none."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[Any]:
    """Return a list, empty where the value is none."""
    return value if isinstance(value, list) else ()


def text(value: object, default: str = "") -> str:
    """Return a text, the default where the value is none."""
    return value if isinstance(value, str) else default


def texts(value: object) -> dict[str, str]:
    """Return those items of a mapping that are texts."""
    return {key: item for key, item in mapping(value).items() if isinstance(item, str)}


def items(document: Document, field: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (index, item) of a list of mappings in the spec."""
    for index, item in enumerate(sequence(document.spec.get(field))):
        if isinstance(item, dict):
            yield index, item


def labels(document: Document) -> dict[str, str]:
    """Return the labels of an agent or a pool."""
    return texts(document.labels)


def relayed(document: Document) -> list[str]:
    """Return the fleets whose repositories an agent may read for others, sorted."""
    return _of_relay(document, "fleets")


def relay_names(document: Document) -> list[str]:
    """Return the host names and addresses by which an agent's relay is reached, sorted."""
    return _of_relay(document, "names")


def _of_relay(document: Document, field: str) -> list[str]:
    stated = sequence(mapping(document.spec.get("relay")).get(field)) if document.kind == "Agent" else ()
    return sorted({one for one in stated if isinstance(one, str)})


def selector(document: Document) -> dict[str, str]:
    """Return a fleet's selector; empty selects everybody."""
    return texts(mapping(document.spec.get("selector")).get("matchLabels"))


def uses(document: Document) -> tuple[Use, ...]:
    """Return the components that a fleet lists, or that a component includes."""
    field = "components" if document.kind == "Fleet" else "includes"
    return tuple(
        Use(ref=text(item["name"]), parameters=mapping(item.get("parameters")), pointer=("spec", field, index))
        for index, item in items(document, field)
        if text(item.get("name"))
    )


def variants(document: Document) -> tuple[Layer, ...]:
    """Return a fleet's variants, in their order."""
    return tuple(_layer(item, ("spec", "variants", index)) for index, item in items(document, "variants"))


def modes(document: Document) -> tuple[Layer, ...]:
    """Return a fleet's modes, in rising priority."""
    return tuple(_layer(item, ("spec", "modes", index)) for index, item in items(document, "modes") if text(item.get("name")))


def _layer(item: Mapping[str, Any], pointer: Pointer) -> Layer:
    return Layer(
        name=text(item.get("name")),
        selector=texts(item.get("matchLabels")),
        parameters={ref: mapping(values) for ref, values in mapping(item.get("parameters")).items()},
        at_most=text(item.get("atMost")),
        pointer=pointer,
    )


def source_path(document: Document, source: str) -> str | None:
    """Return the path in the tree of a file's `source`, None where it leaves the manifest's directory or is no source.

    A source lies under a directory named `files`, beside the manifest or below it, so that nobody reads it as a manifest.
    """
    directory = posixpath.dirname(document.path)
    path = posixpath.normpath(posixpath.join(directory, source))
    inside = path.startswith(directory + "/") and not source.startswith("/")
    return path if inside and SOURCES_DIRECTORY in path.split("/")[:-1] else None


SOURCED = ("files", "services", "packageRepositories", "secrets")
"""Lists whose items may have a `source`: a file in git that holds what the manifest doesn't."""


def sourced(document: Document) -> Iterator[tuple[Pointer, str]]:
    """Yield (pointer, source) of each item of a component that is made of a file in git."""
    for section in SOURCED:
        for index, item in items(document, section):
            if text(item.get("source")):
                yield ("spec", section, index, "source"), text(item["source"])


def sources(document: Document) -> Iterator[str]:
    """Yield the paths in the tree of all sources of a component."""
    named = [source for _, source in sourced(document)]
    named += [text(mapping(item.get("provenance")).get("source")) for _, item in items(document, "artifacts")]
    for source in named:
        path = source_path(document, source) if source else None
        if path is not None:
            yield path
