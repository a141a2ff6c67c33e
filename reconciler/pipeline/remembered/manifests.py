"""Manifests that were read and validated before, by blob id: their values, without YAML."""

from typing import Any

import msgspec

from reconciler.pipeline.acceptance.corpus import ManifestFile, read_content
from reconciler.pipeline.manifests import Document, Layout, ParsedFile, object_name
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.tree import Tree, blob_id

VALUE_LIMIT = 1024 * 1024
"""Bytes of one file's values: a file has at most as many, and more means that aliases repeat them."""
_Entry = list[tuple[int, dict[str, Any]]]
"""Index and value of each document."""


class KnownManifests:
    """The values of manifest files that had no finding; `name` says how they were read and validated."""

    def __init__(self, sealed: Sealed, name: str) -> None:
        """Begin with what is kept under `name`."""
        self._sealed, self._name = sealed, name
        self._kept = sealed.decoded(name, dict[str, msgspec.Raw])
        self._used: dict[str, msgspec.Raw] = {}
        self._values: dict[str, _Entry] = {}
        self.reused = self.read_anew = 0

    def read(self, tree: Tree, path: str, layout: Layout) -> ManifestFile:
        """Read a file as `corpus.read_file` does, or return what that returned for the same content."""
        oid = tree.entries[path].oid
        key = f"{oid} {layout.tenants}:{layout.library}:{layout.policies}"
        known = self._value(key)
        if known is None:
            return self._read(tree, path, layout, key)
        self.reused += 1
        documents = tuple(Document(path=path, index=index, value=value, name=object_name(value), oid=oid) for index, value in known)
        return ManifestFile(parsed=ParsedFile(path=path, oid=oid, documents=documents), findings=())

    def _read(self, tree: Tree, path: str, layout: Layout, key: str) -> ManifestFile:
        self.read_anew += 1
        data = tree.read(path)
        oid = blob_id(data)
        file = read_content(path, data, layout, oid=oid)
        if key.startswith(oid):  # else someone has just saved it: what is read is judged, and nothing is kept
            self._keep(key, file)
        return file

    def save(self) -> None:
        """Keep what was used in this check, and as much again of what was not, for when a branch is left and come back to."""
        unused = [key for key in self._kept if key not in self._used][: len(self._used)]
        if self.read_anew:
            content = {**self._used, **{key: self._kept[key] for key in unused}}
            self._sealed.write(self._name, msgspec.msgpack.encode(content))

    def _value(self, key: str) -> _Entry | None:
        raw = self._kept.get(key)
        if raw is None:
            return None
        if key not in self._values:
            self._values[key] = msgspec.msgpack.decode(raw, type=_Entry)
            self._used[key] = raw
        return self._values[key]

    def _keep(self, key: str, file: ManifestFile) -> None:
        if file.findings:
            return
        entry = [(document.index, document.value) for document in file.parsed.documents]
        encoded = msgspec.msgpack.encode(entry)
        if len(encoded) <= VALUE_LIMIT:
            self._used[key] = msgspec.Raw(encoded)
