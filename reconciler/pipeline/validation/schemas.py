"""The JSON Schemas of all kinds and wire documents, read once."""

import json
from functools import cache
from typing import Any

from reconciler.resources import directory

SUFFIX = ".schema.json"


@cache
def names() -> tuple[str, ...]:
    """Return the names of all schemas: `fleet`, …, `wire/bundle`, …, sorted."""
    root = directory("schemas")
    return tuple(sorted(path.relative_to(root).as_posix().removesuffix(SUFFIX) for path in root.rglob("*" + SUFFIX)))


@cache
def schema(name: str) -> dict[str, Any]:
    """Return a schema by name; raise `KeyError` if there is none. Nobody changes it."""
    if name not in names():
        raise KeyError(name)
    loaded: dict[str, Any] = json.loads((directory("schemas") / (name + SUFFIX)).read_bytes())
    return loaded
