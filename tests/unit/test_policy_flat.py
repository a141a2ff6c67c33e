"""Schemas for OPA's type checker keep their shape and nothing that switches the checker off."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.pipeline.policy.flat import flat
from reconciler.resources import directory

DANGEROUS = {"$ref", "oneOf", "anyOf", "allOf", "$defs", "if", "required"}
SCHEMAS = sorted(directory("schemas").glob("*.schema.json"))


def words(schema: Any) -> set[str]:
    """Return the keywords of a schema at any depth; names of properties are none."""
    if not isinstance(schema, dict):
        return set()
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return set(schema).union(*map(words, inner))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_flat_schema_has_no_reference_and_no_alternative(path: Path) -> None:
    shape = flat(json.loads(path.read_bytes()))
    assert not words(shape) & DANGEROUS
    assert {"apiVersion", "kind", "metadata", "spec"} <= shape["properties"].keys()
    assert shape["additionalProperties"] is False


def test_references_are_put_in_place_and_all_of_is_merged() -> None:
    shape = flat(
        {
            "type": "object",
            "allOf": [{"$ref": "#/$defs/named"}],
            "properties": {"tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}, "any": {"oneOf": [{"type": "string"}]}},
            "$defs": {"named": {"properties": {"name": {"type": "string"}}}, "tag": {"type": "string"}},
        }
    )
    assert shape["properties"] == {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}, "any": {}}


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree: dict[str, Any] = {"type": "object", "properties": {"child": {"$ref": "#/$defs/tree"}}}
    assert flat({**tree, "$defs": {"tree": tree}})["properties"]["child"]["type"] == "object"
