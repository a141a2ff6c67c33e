"""Parameters of components: what is declared, who gives which value, whether it fits, and how it is written.

The layers, from weak to strong: defaults, the include or fleet that uses the component, the variants that match in their
order, the mode.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonschema_rs

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.expansion import Expansion, Instance
from reconciler.pipeline.compile.findings import across, did_you_mean
from reconciler.pipeline.compile.manifest import Layer
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.printable import clipped

LINEAR = jsonschema_rs.RegexOptions(size_limit=1_000_000)
"""Patterns come from tenants: this engine takes time linear in the text, whatever the pattern."""
CONSTRAINTS = ("type", "enum", "minimum", "maximum", "maxLength")
SHOWN = 80
"""Characters of a value that a message repeats."""


def declared(component: Document) -> Mapping[str, Mapping[str, Any]]:
    """Return the declarations of a component's parameters by name."""
    found = manifest.mapping(component.spec.get("parameters"))
    return {name: manifest.mapping(declaration) for name, declaration in found.items()}


def written(value: object) -> str:
    """Return a parameter's value as it stands in texts: as YAML and JSON write it, texts without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def layered(instance: Instance, layers: Iterable[Layer]) -> dict[str, Any]:
    """Return the values of a component's parameters under some variants and a mode; one without any value is left out."""
    values = {name: declaration["default"] for name, declaration in declared(instance.document).items() if "default" in declaration}
    values.update(instance.given)
    for layer in layers:
        values.update(layer.parameters.get(instance.ref, {}))
    return values


def problem(declaration: Mapping[str, Any], value: object) -> str:
    """Return what is wrong with a value (`must be a number, and is "x"`), empty where it fits its declaration."""
    try:
        schema = {key: declaration[key] for key in CONSTRAINTS if key in declaration}
        for constraint, limit in schema.items():
            if not jsonschema_rs.is_valid({constraint: limit}, value):
                return f"{_demand(constraint, limit)}, and is {_shown(value)}"
        pattern = declaration.get("pattern")
        if isinstance(pattern, str) and isinstance(value, str) and not _matches(pattern, value):
            return f"must match {pattern}, and is {_shown(value)}"
    except ValueError as error:
        return f"can't be checked, since its declaration is no good: {str(error).splitlines()[0]}"
    return ""


def _matches(pattern: str, value: str) -> bool:
    jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=LINEAR)
    return jsonschema_rs.validator_for({"pattern": f"^(?:{pattern})$"}, pattern_options=LINEAR).is_valid(value)


def _demand(constraint: str, limit: object) -> str:
    demands = {
        "type": f"must be of type {limit}",
        "enum": f"must be one of {_shown(limit)}",
        "minimum": f"must be at least {limit}",
        "maximum": f"must be at most {limit}",
        "maxLength": f"may have {limit} characters",
    }
    return demands[constraint]


def _shown(value: object) -> str:
    return clipped(json.dumps(value, ensure_ascii=False), SHOWN)


def check_declarations(component: Document) -> Iterator[Finding]:
    """Yield what is wrong with a component's own parameters: defaults that don't fit, patterns that are none."""
    for name, declaration in declared(component).items():
        if "default" in declaration:
            wrong, where = problem(declaration, declaration["default"]), "default"
        else:
            wrong, where = (problem({"pattern": declaration["pattern"]}, "") if "pattern" in declaration else ""), "pattern"
            wrong = wrong if wrong.startswith("can't be checked") else ""
        if wrong:
            pointer = ("spec", "parameters", name, where)
            message = f"parameter {name} of component {_name(component)} {wrong}"
            yield across("parameter-type", component, pointer, message, remedy="make the default and the declaration agree")


def check_given(fleet: Document, expansion: Expansion) -> Iterator[Finding]:
    """Yield what is wrong with the parameters that a fleet, its variants and modes, and includes give."""
    yield from check_uses(expansion)
    for layer in (*manifest.variants(fleet), *manifest.modes(fleet)):
        for ref, values in layer.parameters.items():
            pointer = (*layer.pointer, "parameters", ref)
            found = expansion.instances.get(ref)
            if found is None:
                message = f"{_name(fleet)} has no component {ref}; {did_you_mean(ref, expansion.instances)}"
                remedy = "name a component that the fleet lists or that one of those includes"
                yield across("unknown-parameter", fleet, pointer, message, remedy=remedy, at_key=True)
            else:
                yield from _check_values(fleet, pointer, found.document, values)


def check_uses(expansion: Expansion) -> Iterator[Finding]:
    """Yield what is wrong with the parameters that are given where components are listed or included."""
    for instance in expansion.instances.values():
        pointer = (*instance.use.pointer, "parameters")
        yield from _check_values(instance.user, pointer, instance.document, instance.given)


def _check_values(user: Document, pointer: Pointer, component: Document, values: Mapping[str, Any]) -> Iterator[Finding]:
    known = declared(component)
    for name, value in values.items():
        if name not in known:
            message = f"component {_name(component)} has no parameter {name}; {did_you_mean(name, known)}"
            remedy = f"declare it in {component.path}, or leave it out"
            yield across("unknown-parameter", user, (*pointer, name), message, remedy=remedy, also=(component,), at_key=True)
            continue
        wrong = problem(known[name], value)
        if wrong:
            message = f"parameter {name} of component {_name(component)} {wrong}"
            remedy = f"{component.path} declares what it may be"
            yield across("parameter-type", user, (*pointer, name), message, remedy=remedy, also=(component,))


def _name(document: Document) -> str:
    return document.name.name if document.name is not None else document.path
