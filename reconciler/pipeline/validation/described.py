"""The fields of a kind in words: what each may be and what it is for, as its schema has it. Pages and `ordain explain` say the same."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.pipeline.validation.schemas import schema

MOST = 2**53 - 1
"""What JSON can count to, and so no limit to speak of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A field. `path` is `spec.files[].path`, with `[]` for items of a list and `<name>` for names of one's own choice."""

    path: str
    required: bool
    value: str
    """What it may be: `list of texts, at most 64; left out: …`."""
    description: str
    form: str = ""
    """How what has a pattern is written, in words."""


def fields(kind: str) -> Iterator[Described]:
    """Yield all fields of a kind (Component), each before those in it, in the order of its schema."""
    root = schema(kind.lower())
    for path, required, node in _fields(root, root["$defs"], ""):
        default = f"; left out: `{json.dumps(node['default'])}`" if "default" in node else ""
        form = node.get("x-remedy", "") if "pattern" in node else ""
        yield Described(path=path, required=required, value=_value(node) + default, description=node.get("description", ""), form=form)


def _fields(node: Mapping[str, Any], known: Mapping[str, Any], path: str) -> Iterator[tuple[str, bool, Mapping[str, Any]]]:
    """Yield (path, whether it must be there, its schema) of each field below one, in order of the schema."""
    for name, stated in node.get("properties", {}).items():
        yield from _field(f"{path}.{name}".lstrip("."), name in node.get("required", ()), _resolved(stated, known), known)
    inner = node.get("additionalProperties")
    if isinstance(inner, dict):
        resolved = _resolved(inner, known)
        if {"properties", "additionalProperties", "items"} & resolved.keys():
            yield from _field(f"{path}.<name>", False, resolved, known)  # noqa: FBT003 - a name of one's own choice


def _field(
    path: str,
    required: bool,  # noqa: FBT001 - one of a triple that is made here
    node: Mapping[str, Any],
    known: Mapping[str, Any],
) -> Iterator[tuple[str, bool, Mapping[str, Any]]]:
    yield path, required, node
    yield from _fields(node, known, path)
    if "items" in node:
        yield from _fields(_resolved(node["items"], known), known, f"{path}[]")


def _resolved(node: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema with what it refers to filled in; what it says itself counts more."""
    reference = node.get("$ref", "").removeprefix("#/$defs/")
    resolved = {**known[reference], **node} if reference else dict(node)
    if "items" in resolved:
        resolved["items"] = _resolved(resolved["items"], known)
    return resolved


def _value(node: Mapping[str, Any]) -> str:
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return "one of " + ", ".join(f"`{one}`" for one in node["enum"])
    stated = node.get("type", "object")
    types = [stated] if isinstance(stated, str) else stated
    if types == ["array"]:
        return f"list of {_plural(node['items'])}{_range(node, 'minItems', 'maxItems', '')}"
    limits = "" if "pattern" in node and "x-remedy" in node else _range(node, *_LIMITS.get(types[0], ("", "", "")))
    return " or ".join(_TYPES[one] for one in types) + limits


def _plural(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return " and ".join(f"`{one}`" for one in node["enum"])
    return {"string": "texts", "object": "mappings", "array": "lists", "integer": "numbers"}.get(str(node.get("type", "object")), "values")


def _range(node: Mapping[str, Any], least: str, most: str, unit: str) -> str:
    low, high = node.get(least), node.get(most)
    if high == MOST:
        return ""
    if low is None and high is None:
        return ""
    said = f"{low} to {high}" if low is not None and high is not None else f"at least {low}" if high is None else f"at most {high}"
    return f", {said}{unit}"


_TYPES = {
    "string": "text",
    "number": "number",
    "integer": "whole number",
    "boolean": "`true` or `false`",
    "object": "mapping",
    "array": "list",
    "null": "nothing",
}
_LIMITS = {
    "string": ("minLength", "maxLength", " characters"),
    "integer": ("minimum", "maximum", ""),
    "number": ("minimum", "maximum", ""),
    "object": ("minProperties", "maxProperties", " entries"),
}
