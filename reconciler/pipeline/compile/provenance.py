"""The map from a compiled release back to the manifests, so that a rule about a release gives a file and a line.

All groups and modes list the same items in the same order, so the position of an item is enough to find it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.parts import FIELDS, Field, Part
from reconciler.pipeline.compile.shaping import ANY_PLATFORM
from reconciler.pipeline.finding import Place, Pointer
from reconciler.pipeline.manifests import Document

_CONTENTS = ("content", "contentBase64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the values of a release come from; pointers lead into `release_input()["release"]`."""

    fleet: Document
    parts: Mapping[Field, Sequence[Part]]

    def origin(self, pointer: Pointer) -> Place:
        """Return the place in a manifest that a value comes from; where it has none of its own, the Fleet manifest's.

        ("groups", "g-ab12…", "base", "files", 0, "mode") and ("groups", "g-ab12…", "modes", 1, "state", "files", 0) lead to
        the component's file; ("groups", "g-ab12…", "modes", 1, "atMost") to the mode in the fleet.
        """
        match pointer:
            case ("groups", _, "base", *rest):
                return self._in_state(tuple(rest))
            case ("groups", _, "modes", int(), "state", *rest):
                return self._in_state(tuple(rest))
            case ("groups", _, "modes", int(index), *rest):
                return self.fleet.place(*self._mode(index), *rest)
            case _:
                return self.fleet.place()

    def _mode(self, index: int) -> Pointer:
        modes = manifest.modes(self.fleet)
        return modes[index].pointer if 0 <= index < len(modes) else ("spec", "modes")

    def _in_state(self, rest: Pointer) -> Place:
        match rest:
            case ("reboot", *inner) if self.parts["reboot"]:
                return self._of_part(self.parts["reboot"][0], tuple(inner))
            case (str(field), int(index), *inner) if field in FIELDS and 0 <= index < len(self.parts[field]):
                return self._of_part(self.parts[field][index], tuple(inner))
            case ("drift", *_):
                return self.fleet.place("spec", "drift")
            case _:
                return self.fleet.place("spec", "components")

    def _of_part(self, part: Part, inner: Pointer) -> Place:
        return part.document.place(*part.at(*_written(part, inner)))


def _written(part: Part, inner: Pointer) -> Pointer:
    """Return a pointer into a finished item as it is written in the manifest."""
    match inner:
        case (name, *rest) if name in _CONTENTS and "source" in part.item:
            return ("source", *rest)
        case ("platforms", platform, *rest) if platform == ANY_PLATFORM and "url" in part.item:
            return tuple(rest)
        case _:
            return inner
