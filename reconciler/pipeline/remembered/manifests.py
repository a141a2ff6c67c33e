"""Manifests that were read and validated before, by blob id: their values, without YAML."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from reconciler.pipeline.acceptance.corpus import ManifestFile, read_content
from reconciler.pipeline.manifests import Document, Layout, ParsedFile, is_manifest, object_name
from reconciler.pipeline.remembered.ahead import Ahead, Entries
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.tree import Tree, blob_id

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUE_LIMIT = 1024 * 1024
"""Bytes of one file's values: a file has at most as many, and more means that aliases repeat them."""
Values = list[tuple[int, dict[str, Any]]]
"""Index and value of each document."""


class KnownManifests:
    """The values of manifest files that had no finding; `name` says how they were read and validated."""

    def __init__(self, sealed: Sealed, name: str) -> None:
        """Begin with what is kept under `name`."""
        self._sealed, self._name = sealed, name
        self._kept = sealed.decoded(name, dict[str, msgspec.Raw])
        self._used: dict[str, msgspec.Raw] = {}
        self._values: dict[str, Values] = {}
        self._coming: Iterator[Entries] = iter(())
        self._came: set[str] = set()
        self.reused = self.read_anew = 0

    def ahead(self, tree: Tree, paths: Iterable[str], layout: Layout, *, processes: int | None = None) -> Ahead:
        """Begin to read what is not known among these paths of a snapshot in several processes, where that is worth it (see `Ahead`).

        They are read in order of path.
        """
        unknown = [path for path in sorted(paths) if is_manifest(path, layout) and file_key(tree, path, layout) not in self._kept]
        ahead = Ahead(unknown, lambda path: _to_keep(tree, path, layout), processes=processes)
        self._coming = iter(ahead)
        return ahead

    def read(self, tree: Tree, path: str, layout: Layout) -> ManifestFile:
        """Read a file as `corpus.read_file` does, or return what that returned for the same content."""
        key = file_key(tree, path, layout)
        known = self._value(key)
        if known is None:
            return self._read(tree, path, layout, key)
        if key in self._came:
            self._came.remove(key)
            self.read_anew += 1
        else:
            self.reused += 1
        oid = tree.entries[path].oid
        documents = tuple(Document(path=path, index=index, value=value, name=object_name(value), oid=oid) for index, value in known)
        return ManifestFile(parsed=ParsedFile(path=path, oid=oid, documents=documents), findings=())

    def has(self, key: str) -> bool:
        """Return whether the values of a file are known."""
        return key in self._kept or key in self._used

    def hold(self, keys: Collection[str]) -> bool:
        """Count the values of these files as used, and return True; False where some of them are not known."""
        if not all(map(self._kept.__contains__, keys)):
            return False
        self._used.update({key: self._kept[key] for key in keys})
        self.reused += len(keys)
        return True

    def values(self, key: str) -> Values:
        """Return index and value of each document of a file that is known."""
        found = self._value(key)
        if found is None:
            raise KeyError(key)
        return found

    def _read(self, tree: Tree, path: str, layout: Layout, key: str) -> ManifestFile:
        self.read_anew += 1
        data = tree.read(path)
        file = read_content(path, data, layout, oid=blob_id(data))
        entry = _entry(file, key)
        if entry is not None:
            self._used[key] = msgspec.Raw(entry)
        return file

    def save(self) -> None:
        """Keep what was used in this check, and as much again of what was not, for when a branch is left and come back to."""
        unused = [key for key in self._kept if key not in self._used][: len(self._used)]
        if self.read_anew:
            content = {**self._used, **{key: self._kept[key] for key in unused}}
            self._sealed.write(self._name, msgspec.msgpack.encode(content))

    def _value(self, key: str) -> Values | None:
        while key not in self._kept and (came := next(self._coming, None)) is not None:
            self._kept.update(came)
            self._came.update(came)
        raw = self._kept.get(key)
        if raw is None:
            return None
        if key not in self._values:
            self._values[key] = msgspec.msgpack.decode(raw, type=Values)
            self._used[key] = raw
        return self._values[key]


def file_key(tree: Tree, path: str, layout: Layout) -> str:
    """Return by what a file of a snapshot is known: its content, and how it was read."""
    return f"{tree.entries[path].oid} {layout.tenants}:{layout.library}:{layout.policies}"


def _to_keep(tree: Tree, path: str, layout: Layout) -> tuple[str, bytes] | None:
    """Read a file, and return what is to be kept of it under which key."""
    data, key = tree.read(path), file_key(tree, path, layout)
    entry = _entry(read_content(path, data, layout, oid=blob_id(data)), key)
    return (key, entry) if entry is not None else None


def _entry(file: ManifestFile, key: str) -> bytes | None:
    """Return what is kept of a file, None of one with a finding; nor where someone has just saved it, so that `key` is not its own."""
    if file.findings or not key.startswith(file.parsed.oid):
        return None
    encoded = msgspec.msgpack.encode([(document.index, document.value) for document in file.parsed.documents])
    return encoded if len(encoded) <= VALUE_LIMIT else None
