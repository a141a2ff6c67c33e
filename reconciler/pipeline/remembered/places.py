"""Lines and columns that were looked up before, by blob id and place: to find one costs more than all else about a manifest."""

import msgspec

from reconciler.pipeline.finding import Place
from reconciler.pipeline.positions import Found, find
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.tree import blob_id

_Found = tuple[int, int, str]


class KnownPlaces:
    """The places of what is shown of one repository; the text of a line is never kept."""

    def __init__(self, sealed: Sealed, name: str) -> None:
        """Begin with what is kept under `name`."""
        self._sealed, self._name = sealed, name
        self._kept = sealed.decoded(name, dict[str, _Found])
        self._used: dict[str, _Found] = {}
        self._new = False

    def find(self, data: bytes, place: Place) -> Found:
        """Find a place, as `positions.find` does."""
        if place.line is not None and not place.pointer:
            return find(data, place)
        inside = f"{place.offset} {place.row} {place.line} {place.column}"
        key = f"{blob_id(data)} {place.document} {place.pointer!r} {place.at_key} {inside}"
        known = self._used.get(key) or self._kept.get(key)
        if known is None:
            found = find(data, place)
            known = (found.line, found.column, found.name)
            self._new = True
        self._used[key] = known
        return Found(*known)

    def save(self) -> None:
        """Keep what was looked up in this check, and as much again of what was not."""
        unused = [key for key in self._kept if key not in self._used][: len(self._used)]
        if self._new:
            self._sealed.write(self._name, msgspec.msgpack.encode(self._used | {key: self._kept[key] for key in unused}))
