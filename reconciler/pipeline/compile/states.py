"""Building the states of a fleet's groups and modes: each item once for each set of values that its texts use."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent.protocol import rendering
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.state import State
from reconciler.pipeline.compile.assembly import Assembly
from reconciler.pipeline.compile.filled import GIVEN, Filled, texts_by_item
from reconciler.pipeline.compile.groups import Group
from reconciler.pipeline.compile.manifest import Layer
from reconciler.pipeline.compile.parameters import layered, written
from reconciler.pipeline.compile.parts import FIELDS, Field, Part
from reconciler.pipeline.compile.shaping import KINDS, Fill, Item, fields_of, resolved_of
from reconciler.pipeline.compile.texts import Text
from reconciler.pipeline.tree import Tree

Used = tuple[tuple[str, str], ...]
"""(namespace, name) of what an item's texts refer to."""
_NAMES: Mapping[Field, str] = {field: "host_files" if field == "hostFiles" else field for field in FIELDS}


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
        self._parts = {field: [(part, _used(self._texts_of(part))) for part in parts] for field, parts in assembly.parts.items() if parts}
        self.filled: list[Filled] = []
        """What labels and parameters were filled into so far: each item once for each set of values."""
        self._layered: dict[tuple[int, ...], tuple[tuple[Layer, ...], Mapping[str, Mapping[str, str]]]] = {}
        self._built: dict[tuple[object, ...], Item] = {}
        self._drift: Any = "report" if assembly.fleet.spec.get("drift") == "report" else "enforce"

    def state(self, group: Group, mode: Layer | None) -> State:
        """Return the finished state of a group, as a rule or in a mode."""
        layers = (*group.variants, mode) if mode is not None else group.variants
        values = self._values(layers)
        built: dict[str, Any] = {
            _NAMES[field]: [self._part(part, used, group.labels, values[part.ref]) for part, used in parts]
            for field, parts in self._parts.items()
        }
        if "reboot" in built:
            built["reboot"] = built["reboot"][0]
        return State(**built, drift=self._drift)

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

    def _part(self, part: Part, used: Used, labels: Mapping[str, str], parameters: Mapping[str, str]) -> Item:
        key = (id(part), *[labels.get(name) if space == "labels" else parameters.get(name) for space, name in used])
        built = self._built.get(key)
        if built is None:
            resolved, built = self._shaped(part, lambda text: rendering.resolve(text, labels=labels, parameters=parameters))
            self._built[key] = built
            values = {(space, name): (labels if space == "labels" else parameters)[name] for space, name in used if space in GIVEN}
            if values:
                self.filled.append(Filled(part=part, item=built, resolved=resolved, values=values, texts=self._texts_of(part)))
        return built

    def _texts_of(self, part: Part) -> Sequence[Text]:
        found = [self._texts.get((id(part.document), at), ()) for at in part.read_at]
        return found[0] if len(found) == 1 else [text for texts in found for text in texts]

    def _shaped(self, part: Part, fill: Fill) -> tuple[Mapping[str, Any], Item]:
        """Return what is written with its references filled in, and the item that it is in a state."""
        try:
            resolved = resolved_of(part, fill)
            return resolved, msgspec.convert(fields_of(part, resolved, fill, self._tree), KINDS[part.field], strict=True)
        except msgspec.ValidationError as error:
            remedy = "`ordain check` says what the schema demands; if it passes there, report this as a fault of ordain"
            raise Misshapen(part, str(error), remedy=remedy) from error
        except MalformedError as error:
            raise Misshapen(part, str(error), remedy="change the value of the parameter or of the label, or the text") from error


def _used(texts: Sequence[Text]) -> Used:
    """Return what the texts of an item refer to, once each."""
    return tuple(dict.fromkeys((space, name) for text in texts for space, name, _ in text.used))
