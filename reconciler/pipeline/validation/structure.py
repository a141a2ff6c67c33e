"""A manifest against the JSON Schema of its kind: jsonschema-rs says yes or no, jsonschema words the errors.

A rejection by either is one: jsonschema-rs is asked always, jsonschema where that rejects, and where a number with a fraction
may stand for an integer (`5.0`), which JSON Schema allows and the wire formats don't. It is imported only then: a tenth of a second.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.validation.findings import schema_refused, shown, spelled
from reconciler.pipeline.validation.schemas import schema
from reconciler.printable import clipped

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_TYPES = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}
_CODES = {"pattern": "pattern", "const": "const", "enum": "enum", "type": "type"}
"""Codes of errors by the keyword that fails; `limit` for all that count or compare."""
ERRORS_LIMIT = 1_000
"""Errors of one manifest that are looked at, of which the most telling are chosen: each takes a tenth of a millisecond."""
FINDINGS_LIMIT = 200
"""Findings of one manifest, and of one file: nobody mends more at a time, and to word and place them takes time."""
READABLE = 40
"""Characters of a pattern that help a person; longer ones are left to the remedy."""
_MOST_TELLING = ("type", "const", "enum", "pattern")
"""Of several errors at one place the first of these is shown: a text that is too short for its pattern fails both."""


def violations(document: Document) -> Iterator[Finding]:
    """Yield each error of a manifest against its schema, one a place, up to one more than the limit."""
    name = document.kind.lower()
    accepted = _judge(name).is_valid(document.value)
    integers = _integer_fields(name)
    if accepted and not (integers and _holds_float(document.value, integers)):
        return
    errors = _telling(islice(_worded(name).iter_errors(document.value), ERRORS_LIMIT))
    yield from islice((finding for error in errors for finding in _findings(document, error)), FINDINGS_LIMIT + 1)
    if not accepted and not errors:
        yield from _unworded(document, name)


@cache
def _judge(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema(name))


@cache
def _worded(name: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415

    strict = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    kind: Any = validators.extend(Draft202012Validator, {"pattern": _pattern}, type_checker=strict)  # type: ignore[no-untyped-call]
    validator: Draft202012Validator = kind(schema(name))
    return validator


def _is_integer(_checker: object, instance: object) -> bool:
    return isinstance(instance, int) and not isinstance(instance, bool)


def _pattern(_validator: object, pattern: str, instance: object, _schema: object) -> Iterator["ValidationError"]:
    """Match as jsonschema-rs does: `$` is the end of the text, and not also the place before a last line end."""
    from jsonschema import ValidationError  # noqa: PLC0415

    if isinstance(instance, str) and not re.search(_anchored(pattern), instance):
        yield ValidationError(f"does not match {pattern}")


@cache
def _anchored(pattern: str) -> str:
    return re.sub(r"\$$", r"\\Z", pattern)


@cache
def _integer_fields(name: str) -> frozenset[str]:
    """Return the names of all fields, wherever they stand, whose values are integers."""
    found: set[str] = set()
    pending = [schema(name)]
    while pending:
        node = pending.pop()
        fields = node.get("properties", {})
        found.update(field for field, rules in fields.items() if rules.get("type") == "integer")
        inner = (node.get(key) for key in ("items", "additionalProperties"))
        pending.extend([*fields.values(), *node.get("$defs", {}).values(), *(rules for rules in inner if isinstance(rules, dict))])
    return frozenset(found)


def _holds_float(value: Any, fields: frozenset[str]) -> bool:
    """Return whether a field of one of these names is a float, anywhere in a value."""
    if isinstance(value, dict):
        return any((isinstance(item, float) and key in fields) or _holds_float(item, fields) for key, item in value.items())
    return isinstance(value, list) and any(_holds_float(item, fields) for item in value)


def _telling(errors: Iterator["ValidationError"]) -> "list[ValidationError]":
    best: dict[tuple[object, ...], ValidationError] = {}
    for error in errors:
        kept = error.validator in ("required", "additionalProperties")
        key = (*error.absolute_path, _is_about_key(error), _key_of(error), error.validator if kept else "")
        if key not in best or _rank(error) < _rank(best[key]):
            best[key] = error
    return list(best.values())


def _rank(error: "ValidationError") -> int:
    return _MOST_TELLING.index(error.validator) if error.validator in _MOST_TELLING else len(_MOST_TELLING)


def _is_about_key(error: "ValidationError") -> bool:
    return "propertyNames" in error.absolute_schema_path


def _key_of(error: "ValidationError") -> str:
    return str(error.instance) if _is_about_key(error) else ""


def _findings(document: Document, error: "ValidationError") -> Iterator[Finding]:
    pointer: Pointer = tuple(error.absolute_path)
    instance: Any = error.instance
    rules: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    remedy = str(rules.get("x-remedy", "")) or "`ordain schema " + document.kind.lower() + "` shows what is allowed here"
    if _is_about_key(error):
        message = f"{spelled(pointer)}: {shown(error.instance)} is no name that may stand here"
        yield schema_refused(document, "name", (*pointer, str(error.instance)), message, remedy=remedy, at_key=True)
    elif error.validator == "additionalProperties":
        yield from _unknown_fields(document, pointer, instance, rules)
    elif error.validator == "required":
        yield from _missing_fields(document, pointer, instance, rules)
    else:
        code = _CODES.get(str(error.validator), "limit")
        yield schema_refused(document, code, pointer, f"{spelled(pointer)}: {_worded_error(error)}", remedy=remedy)


def _unknown_fields(document: Document, pointer: Pointer, instance: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Finding]:
    known = list(rules.get("properties", {}))
    for field in instance:
        if field not in known:
            close = difflib.get_close_matches(field, known, n=1, cutoff=0.6) or [name for name in known if name.lower() == field.lower()]
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            message = f"{spelled(pointer)}: unknown field {shown(field)}; {hint}"
            remedy = f"write {close[0]}" if close else "leave it out"
            meant = close[0] if close else ""
            yield schema_refused(document, "unknown-field", (*pointer, field), message, remedy=remedy, at_key=True, meant=meant)


def _missing_fields(document: Document, pointer: Pointer, instance: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Finding]:
    for field in rules.get("required", ()):
        if field not in instance:
            described = rules.get("properties", {}).get(field, {}).get("description", "")
            remedy = f"add {field}: {described[:1].lower()}{described[1:].rstrip('.')}"
            message = f"{spelled(pointer)}: {field} is missing"
            yield schema_refused(document, "required", pointer, message, remedy=remedy, at_key=True, needs=(field,))


def _worded_error(error: "ValidationError") -> str:
    instance: Any = error.instance
    limit: Any = error.validator_value
    value = shown(instance)
    size = len(instance) if isinstance(instance, (str, list, dict)) else 0
    wordings = {
        "type": lambda: f"{_typed(instance)}, and must be {_types(limit)}",
        "const": lambda: f"{value} must be {shown(limit)}",
        "enum": lambda: f"{value} is none of {', '.join(map(str, limit))}{_meant(instance, limit)}",
        "pattern": lambda: f"{value} does not {f'match {limit}' if len(limit) <= READABLE else 'have the form that belongs here'}",
        "minimum": lambda: f"{value} is less than {limit}",
        "maximum": lambda: f"{value} is more than {limit}",
        "minLength": lambda: f"{value} has {size} characters, fewer than {limit}",
        "maxLength": lambda: f"{value} has {size} characters, more than {limit}",
        "minItems": lambda: f"it has {size} items, fewer than {limit}",
        "maxItems": lambda: f"it has {size} items, more than {limit}",
        "minProperties": lambda: f"it has {size} fields, fewer than {limit}",
        "maxProperties": lambda: f"it has {size} fields, more than {limit}",
    }
    worded = wordings.get(str(error.validator))
    return worded() if worded else clipped(error.message, 200)


def _types(stated: str | list[str]) -> str:
    return " or ".join(_TYPES[name] for name in ([stated] if isinstance(stated, str) else stated))


def _typed(value: object) -> str:
    return f"it is {_type_of(value)}" if isinstance(value, (dict, list)) else f"{shown(value)} is {_type_of(value)}"


def _type_of(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "a truth value"
    names = {str: "text", int: "a whole number", float: "a number with a fraction", dict: "a mapping", list: "a list"}
    return names[type(value)]


def _meant(value: object, known: list[object]) -> str:
    close = difflib.get_close_matches(str(value), [str(item) for item in known], n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _unworded(document: Document, name: str) -> Iterator[Finding]:
    """Yield the errors of jsonschema-rs in its own words, where jsonschema finds none."""
    for error in _judge(name).iter_errors(document.value):
        pointer: Pointer = tuple(error.instance_path)
        message = f"{spelled(pointer)}: {clipped(error.message, 200)}"
        yield schema_refused(document, "invalid", pointer, message, remedy=f"`ordain schema {name}` shows what is allowed here")
