"""From what a part says to the fields of a state's item: references filled in, sources read, what reaches no host left out."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.protocol.state import (
    Action,
    Artifact,
    File,
    Group,
    HostFile,
    Module,
    Package,
    Probe,
    Process,
    Reboot,
    Repository,
    Secret,
    Service,
    Struct,
    Sysctl,
    User,
)
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.parts import Field, Part
from reconciler.pipeline.compile.secrets import fields_of_secret
from reconciler.pipeline.compile.texts import TEXT_FIELDS, read_source
from reconciler.pipeline.tree import Tree

ANY_PLATFORM = "any"
"""The platform of an artifact that has one address for all."""
KINDS: Mapping[Field, type[Struct]] = {
    "artifacts": Artifact,
    "files": File,
    "probes": Probe,
    "processes": Process,
    "services": Service,
    "actions": Action,
    "repositories": Repository,
    "packages": Package,
    "groups": Group,
    "users": User,
    "modules": Module,
    "sysctls": Sysctl,
    "hostFiles": HostFile,
    "reboot": Reboot,
    "secrets": Secret,
}
_AS_WRITTEN = ("files", "probes", "processes", "actions", "hostFiles", "secrets")
FILLED: Mapping[str, tuple[str, ...]] = {**{section: TEXT_FIELDS[section] for section in _AS_WRITTEN}, "sysctls": ("value",)}
"""In which fields of a state's items references are filled in: of those that a manifest has as a state does, in the same."""
RENDERED = TEXT_FIELDS["containers"]
"""The same of what is rendered into a file."""
FILE_FIELDS = {
    "file": ("path", "content", "mode", "owner", "group", "check"),
    "directory": ("path", "type", "mode", "owner", "group"),
    "symlink": ("path", "type", "target", "owner", "group"),
}
"""What reaches a host of each type of file; of what must be absent only its path does."""
SOURCE_FIELDS = ("url", "sha256", "size")
ARTIFACT_FIELDS = ("name", "path", "platforms", "unpack", "unpackedSize", "mode", "owner", "group")
Fill = Callable[[str], str]
Item = Struct
"""An item of a state: a file, a process, a package, …"""


def fields_of(part: Part, resolved: Mapping[str, Any], fill: Fill, tree: Tree) -> dict[str, Any]:
    """Return the fields of an item of a state in plain values, from what `resolved_of` made of it.

    Raises:
        MalformedError: `fill` can't keep apart what stands side by side in a text.
    """
    if part.render is not None:
        return dict(part.render(resolved))
    if part.field == "files":
        return _file(part, resolved, fill, tree)
    if part.field == "artifacts":
        return _artifact(resolved)
    if part.field == "secrets":
        return fields_of_secret(part, resolved, tree)
    if part.field == "repositories":
        resolved = {**resolved, **_key(part, tree)}
    return _only(resolved, KINDS[part.field].__struct_encode_fields__)


def resolved_of(part: Part, fill: Fill) -> dict[str, Any]:
    """Return what is written, with the references in it filled in; raise `MalformedError` as `fields_of`."""
    filled = RENDERED if part.render is not None else FILLED.get(part.field, ())
    return {name: _filled(value, fill) if name in filled else value for name, value in part.item.items()}


def _filled(value: Any, fill: Fill) -> Any:
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, dict):
        return {name: _filled(item, fill) for name, item in value.items()}
    return [_filled(item, fill) for item in value] if isinstance(value, list) else value


def _file(part: Part, item: Mapping[str, Any], fill: Fill, tree: Tree) -> dict[str, Any]:
    if item.get("absent") is True:
        return {"path": item.get("path"), "absent": True}
    fields = _only(item, FILE_FIELDS.get(manifest.text(item.get("type"), "file"), FILE_FIELDS["file"]))
    data = _source(part, tree)
    if data is not None:
        try:
            fields["content"] = fill(data.decode())
        except UnicodeDecodeError:
            fields["contentBase64"] = base64.b64encode(data).decode()
    return fields


def _source(part: Part, tree: Tree) -> bytes | None:
    """Return what a part's `source` holds, None where it has none or there is no such file."""
    source = manifest.text(part.item.get("source"))
    path = manifest.source_path(part.document, source) if source else None
    return read_source(tree, path) if path is not None else None


def _key(part: Part, tree: Tree) -> dict[str, str]:
    data = _source(part, tree)
    return {"key": data.decode(errors="replace")} if data is not None else {}


def _artifact(item: Mapping[str, Any]) -> dict[str, Any]:
    fields = _only(item, ARTIFACT_FIELDS)
    if "url" in item:
        fields["platforms"] = {ANY_PLATFORM: _only(item, SOURCE_FIELDS)}
    return fields


def _only(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: item[name] for name in names if name in item}
