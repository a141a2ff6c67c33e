"""Values as OPA's traces hold them, written as an author would write them in Rego.

A term is `{type, value}`; a variable may be known from the locals of the moment, which are terms too.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Term = Mapping[str, Any]
Locals = Mapping[str, Term]
"""What variables are bound to, by the names that the compiler gave them."""
DEPTH_LIMIT = 64
"""Terms deeper than manifests may be are not written out."""
_BRACKETS = {"array": ("[", "]"), "set": ("{", "}"), "object": ("{", "}")}


def locals_of(event: Mapping[str, Any]) -> Locals:
    """Return what is bound at an event of a trace."""
    return {str(one["name"]): one for one in event.get("Locals") or ()}


def value_of(term: Term) -> Any:
    """Return a value as JSON has it: a set is a list, and a key that is no text is one in Rego's words."""
    kind, value = term.get("type"), term.get("value")
    if kind in ("array", "set"):
        return [value_of(one) for one in value or ()]
    if kind == "object":
        return {one if isinstance(one := value_of(pair[0]), str) else text(pair[0], {}): value_of(pair[1]) for pair in value or ()}
    return value


def is_known(term: Term, known: Locals) -> bool:
    """Return whether a term is a value, or a variable that is bound to one, and so can be written down whole."""
    if term.get("type") == "var":
        return term.get("value") in known
    return term.get("type") in {"null", "boolean", "number", "string", *_BRACKETS}


def text(term: Term, known: Locals, depth: int = 0) -> str:
    """Return a term in one line."""
    items = _items(term, known)
    if items is None or depth > DEPTH_LIMIT:
        return _plain(term, known, depth)
    left, right = _BRACKETS[_bound(term, known)["type"]]
    if not items:
        return "set()" if _bound(term, known)["type"] == "set" else left + right
    return (
        left
        + ", ".join((f"{text(key, known, depth + 1)}: " if key else "") + text(value, known, depth + 1) for key, value in items)
        + right
    )


def lines(term: Term, known: Locals, indent: str = "") -> Iterator[str]:
    """Yield a term with one item of it on a line, as it is good to compare."""
    items = _items(term, known)
    if not items or len(indent) > DEPTH_LIMIT:
        yield indent + text(term, known)
        return
    left, right = _BRACKETS[_bound(term, known)["type"]]
    yield indent + left
    for key, value in items:
        first, *rest = lines(value, known, indent + "  ")
        label = f"{text(key, known)}: " if key else ""
        below = [first, *rest]
        yield f"{indent}  {label}{below[0].strip()}" + ("," if len(below) == 1 else "")
        yield from (line + ("," if number == len(below) - 1 else "") for number, line in enumerate(below) if number)
    yield indent + right


def _bound(term: Term, known: Locals) -> Term:
    """Return what a variable is bound to, the term itself where it is none or is free."""
    return known.get(str(term.get("value")), term) if term.get("type") == "var" else term


def _items(term: Term, known: Locals) -> list[tuple[Term | None, Term]] | None:
    """Return the items of a collection, those of an object with their keys; None for anything else."""
    bound = _bound(term, known)
    if bound.get("type") == "object":
        return [(pair[0], pair[1]) for pair in bound["value"]]
    return [(None, one) for one in bound["value"]] if bound.get("type") in ("array", "set") else None


def _plain(term: Term, known: Locals, depth: int) -> str:
    bound = _bound(term, known)
    kind, value = bound.get("type"), bound.get("value")
    if kind in ("string", "number", "boolean", "null"):
        return json.dumps(value, ensure_ascii=False)
    if kind == "var":
        return str(value)
    if kind == "ref" and isinstance(value, list) and depth <= DEPTH_LIMIT:
        return _plain(value[0], known, depth + 1) + "".join(_step(one, known, depth + 1) for one in value[1:])
    return "…"


def _step(term: Term, known: Locals, depth: int) -> str:
    name = term.get("value")
    return f".{name}" if term.get("type") == "string" and str(name).isidentifier() else f"[{text(term, known, depth)}]"
