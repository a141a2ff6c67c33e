"""Building the states of a fleet's groups and modes: each item once for each set of values that its texts use."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from agent.protocol import rendering
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.state import Artifact, File, Probe, State
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.assembly import Assembly
from reconciler.pipeline.compile.filled import GIVEN, Filled, texts_by_item
from reconciler.pipeline.compile.groups import Group
from reconciler.pipeline.compile.manifest import Layer
from reconciler.pipeline.compile.parameters import layered, written
from reconciler.pipeline.compile.parts import Field, Part
from reconciler.pipeline.compile.texts import TEXT_FIELDS, Text, read_source
from reconciler.pipeline.tree import Tree

ANY_PLATFORM = "any"
"""The platform of an artifact that has one address for all."""
KINDS: Mapping[Field, type[Artifact | File | Probe]] = {"artifacts": Artifact, "files": File, "probes": Probe}
FILE_FIELDS = {
    "file": ("path", "content", "mode", "owner", "group", "check"),
    "directory": ("path", "type", "mode", "owner", "group"),
    "symlink": ("path", "type", "target", "owner", "group"),
}
"""What reaches a host of each type of file; of what must be absent only its path does."""
SOURCE_FIELDS = ("url", "sha256", "size")
ARTIFACT_FIELDS = ("name", "path", "platforms", "unpack", "unpackedSize", "mode", "owner", "group")
PROBE_FIELDS = Probe.__struct_encode_fields__
Fill = Callable[[str], str]
Used = tuple[tuple[str, str], ...]
"""(namespace, name) of what an item's texts refer to."""


class Misshapen(RefusedError):  # noqa: N818 - it is said of the part: misshapen
    """A part that can't be brought into the shape of a state: what its schema should have refused, or can't see."""

    def __init__(self, part: Part, why: str, *, remedy: str) -> None:
        super().__init__(f"{part.name or 'an item without a name'}: {why}")
        self.part = part
        self.remedy = remedy


class Builder:
    """Builds the states of one fleet, which must have no denying findings."""

    def __init__(self, assembly: Assembly, tree: Tree) -> None:
        self._assembly = assembly
        self._tree = tree
        self._texts = texts_by_item(assembly.texts)
        self._parts = {field: [(part, _used(self._texts_of(part))) for part in parts] for field, parts in assembly.parts.items()}
        self.filled: list[Filled] = []
        """What labels and parameters were filled into so far: each item once for each set of values."""
        self._layered: dict[tuple[int, ...], tuple[tuple[Layer, ...], Mapping[str, Mapping[str, str]]]] = {}
        self._built: dict[tuple[object, ...], Any] = {}
        self._drift: Any = "report" if assembly.fleet.spec.get("drift") == "report" else "enforce"

    def state(self, group: Group, mode: Layer | None) -> State:
        """Return the finished state of a group, as a rule or in a mode."""
        layers = (*group.variants, mode) if mode is not None else group.variants
        values = self._values(layers)

        def built(field: Field) -> list[Any]:
            return [self._part(part, used, group.labels, values[part.ref]) for part, used in self._parts[field]]

        return State(artifacts=built("artifacts"), files=built("files"), probes=built("probes"), drift=self._drift)

    def _values(self, layers: tuple[Layer, ...]) -> Mapping[str, Mapping[str, str]]:
        """Return the values of each component's parameters, as they are written."""
        key = tuple(id(layer) for layer in layers)
        if key not in self._layered:
            values = {
                ref: {name: written(value) for name, value in layered(instance, layers).items()}
                for ref, instance in self._assembly.instances.items()
            }
            self._layered[key] = layers, values  # the layers too, so that nobody else gets their ids
        return self._layered[key][1]

    def _part(self, part: Part, used: Used, labels: Mapping[str, str], parameters: Mapping[str, str]) -> Artifact | File | Probe:
        key = (id(part), *[labels.get(name) if space == "labels" else parameters.get(name) for space, name in used])
        built: Artifact | File | Probe | None = self._built.get(key)
        if built is None:
            built = self._built[key] = self._shaped(part, lambda text: rendering.resolve(text, labels=labels, parameters=parameters))
            values = {(space, name): (labels if space == "labels" else parameters)[name] for space, name in used if space in GIVEN}
            if values:
                self.filled.append(Filled(part=part, item=built, values=values, texts=self._texts_of(part)))
        return built

    def _texts_of(self, part: Part) -> Sequence[Text]:
        return self._texts.get((id(part.document), part.pointer), ())

    def _shaped(self, part: Part, fill: Fill) -> Artifact | File | Probe:
        try:
            return msgspec.convert(self._fields(part, fill), KINDS[part.field], strict=True)
        except msgspec.ValidationError as error:
            remedy = "`ordain check` says what the schema demands; if it passes there, report this as a fault of ordain"
            raise Misshapen(part, str(error), remedy=remedy) from error
        except MalformedError as error:
            raise Misshapen(part, str(error), remedy="change the value of the parameter or of the label, or the text") from error

    def _fields(self, part: Part, fill: Fill) -> dict[str, Any]:
        filled = TEXT_FIELDS[part.field]
        resolved = {name: _filled(value, fill) if name in filled else value for name, value in part.item.items()}
        if part.field == "files":
            return self._file(part, resolved, fill)
        return _artifact(resolved) if part.field == "artifacts" else _only(resolved, PROBE_FIELDS)

    def _file(self, part: Part, item: Mapping[str, Any], fill: Fill) -> dict[str, Any]:
        if item.get("absent") is True:
            return {"path": item.get("path"), "absent": True}
        fields = _only(item, FILE_FIELDS.get(manifest.text(item.get("type"), "file"), FILE_FIELDS["file"]))
        source = manifest.text(item.get("source"))
        path = manifest.source_path(part.document, source) if source else None
        data = read_source(self._tree, path) if path is not None else None
        if data is not None:
            try:
                fields["content"] = fill(data.decode())
            except UnicodeDecodeError:
                fields["contentBase64"] = base64.b64encode(data).decode()
        return fields


def _filled(value: Any, fill: Fill) -> Any:
    if isinstance(value, str):
        return fill(value)
    return [_filled(item, fill) for item in value] if isinstance(value, list) else value


def _artifact(item: Mapping[str, Any]) -> dict[str, Any]:
    fields = _only(item, ARTIFACT_FIELDS)
    if "url" in item:
        fields["platforms"] = {ANY_PLATFORM: _only(item, SOURCE_FIELDS)}
    return fields


def _only(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: item[name] for name in names if name in item}


def _used(texts: Sequence[Text]) -> Used:
    """Return what the texts of an item refer to, once each."""
    return tuple(dict.fromkeys((space, name) for text in texts for space, name, _ in text.used))
