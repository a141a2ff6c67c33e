"""The OpenAPI document (3.1) of operators' routes, made of the table of routes and of the shapes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from agent.protocol.enrolment import Refusal
from reconciler.control.api.answers import STATUS
from reconciler.control.api.routes import ANYONE, Route

PREFIX = "/api/v1/"
MANY = frozenset({"label", "state", "presence"})
"""Parameters that may stand often."""
_REFERENCE = "#/components/schemas/{name}"
_PART = re.compile(r"\{(\w+)(?::[^}]*)?\}")


def document(routes: Iterable[Route], *, version: str) -> dict[str, Any]:
    """Return the document of those routes that are operators'; raise `ValueError` for one that does not say what it gives."""
    wanted = [route for route in routes if route.path.startswith(PREFIX)]
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(wanted, key=lambda one: (one.path, one.method)):
        if route.gives is None or (route.method == "POST" and route.takes is None):
            message = f"{route.method} {route.path}: say what it takes and gives"
            raise ValueError(message)
        paths.setdefault(_PART.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ordain: the operators' API", "version": version, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": _schemas(wanted), "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


_ABOUT = (
    "Every answer with a status of 400 or above is a Refusal. Lists come in pages: pass `next` as `after`. Fields are added, never taken "
    "away: pass over those that you don't know. docs/operators.md says who may do what."
)


def _operation(route: Route) -> dict[str, Any]:
    about = " ".join((route.handler.__doc__ or "").split())
    refusal = {"description": f"Refused; by code: {', '.join(STATUS)}", "content": _content(Refusal)}
    found: dict[str, Any] = {
        "summary": about,
        "operationId": f"{route.method.lower()}{''.join(part.title() for part in re.findall(r'[a-z]+', route.path[len(PREFIX) :]))}",
        "parameters": [*map(_in_path, _PART.findall(route.path)), *map(_in_query, route.query)],
        "responses": {"2XX": {"description": "Done", "content": _content(route.gives)}, "default": refusal},
    }
    if route.takes is not None:
        found["requestBody"] = {"required": True, "content": _content(route.takes)}
    if route.who == ANYONE:
        found["security"] = []
    else:
        found["x-action"] = route.action
    return found


def _content(shape: type[Any] | None) -> Mapping[str, Any]:
    name = shape.__name__ if shape else ""
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(name=name)}}}


def _in_path(name: str) -> Mapping[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(name: str) -> Mapping[str, Any]:
    text = {"type": "integer" if name == "limit" else "string"}
    return {"name": name, "in": "query", "schema": {"type": "array", "items": text} if name in MANY else text}


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the schemas by name; bodies are read strictly, and of answers nobody should rely on there being no more fields."""
    _, given = msgspec.json.schema_components([Refusal, *(route.gives for route in routes if route.gives)], ref_template=_REFERENCE)
    _, taken = msgspec.json.schema_components([route.takes for route in routes if route.takes], ref_template=_REFERENCE)
    for schema in given.values():
        schema.pop("additionalProperties", None)
    return dict(sorted({**given, **taken}.items()))
