"""Schemas as OPA's type checker needs them, so that a misspelt field in a rule is an error when it is checked.

The checker follows no references between files and gives up on `oneOf` and `allOf`, silently. So everything but
shape is left out here: references are put in place, alternatives become "anything". https://www.openpolicyagent.org/docs/policy-language#schema
"""

from collections.abc import Iterable, Mapping
from typing import Any

DEPTH_LIMIT = 32
"""Levels of nesting after references are put in place; a schema that refers to itself is cut off here."""


def flat(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shape of a 2020-12 schema: types, properties and items, without references."""
    return _shape(schema, schema, DEPTH_LIMIT)


def _shape(node: object, root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if not isinstance(node, Mapping) or depth == 0:
        return {}
    node = _resolved(node, root)
    if any(word in node for word in ("oneOf", "anyOf")) and "properties" not in node:
        return {}
    kind = node.get("type")
    if kind == "object":
        return _object(node, root, depth)
    if kind == "array":
        return {"type": "array", "items": _shape(node.get("items"), root, depth - 1)}
    return {"type": kind} if isinstance(kind, str) else {}


def _object(node: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = {name: _shape(value, root, depth - 1) for name, value in _properties(node, root)}
    rest = node.get("additionalProperties", True)
    shape: dict[str, Any] = {"type": "object", "properties": properties}
    shape["additionalProperties"] = False if rest is False else _shape(rest, root, depth - 1)
    return shape


def _properties(node: Mapping[str, Any], root: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    for part in node.get("allOf", ()):
        yield from _properties(_resolved(part, root), root)
    yield from node.get("properties", {}).items()


def _resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a node with its reference into the same file put in place; its own words win."""
    target = node.get("$ref")
    if not isinstance(target, str) or not target.startswith("#/"):
        return node
    found: Any = root
    for part in target.removeprefix("#/").split("/"):
        found = found[part]
    rest = {name: value for name, value in node.items() if name != "$ref"}
    return {**_resolved(found, root), **rest}
