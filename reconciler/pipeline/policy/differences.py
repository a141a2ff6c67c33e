"""Why a Rego test failed: the expression on which it stopped, and what it compared, as people compare it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.pipeline.policy.terms import Locals, Term, is_known, lines, locals_of, text

ONE_LINE = 100
"""Characters of a value that is still read at a glance; longer ones are shown as a difference, item by item."""
LINES_LIMIT = 40
"""Lines of a difference: who needs more looks with `ordain policy debug`."""
_COMPARED = {"eq": "==", "equal": "==", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def stopped(trace: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the event of a failed test's trace at which it stopped, None where the trace has none."""
    fails = [one for one in trace if one.get("Op") == "Fail" and (one.get("Location") or {}).get("file")]
    plain = [one for one in fails if isinstance(_terms(one), list)]  # an `every` fails by what is in it
    return (plain or fails)[-1] if fails else None


def explained(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield in lines what did not hold: what was compared with what, or what was undefined or not wanted."""
    terms, known = _terms(event), locals_of(event)
    if not isinstance(terms, list):
        yield "it is not true"
        return
    operator = _name(terms[0])
    if operator in _COMPARED and len(terms) == 3 and all(is_known(one, known) for one in terms[1:]):  # noqa: PLR2004 - a op b
        yield from _compared(_COMPARED[operator], terms[1], terms[2], known)
    elif event.get("Node", {}).get("negated"):
        yield f"it is true, and must not be: not {_call(terms, known)}"
    else:
        yield f"it is false or undefined: {_call(terms, known)}"


def _compared(operator: str, left: Term, right: Term, known: Locals) -> Iterator[str]:
    if operator != "==":
        yield f"it does not hold: {text(left, known)} {operator} {text(right, known)}"
        return
    actual, expected = (right, left) if left.get("type") != "var" and right.get("type") == "var" else (left, right)
    one, other = text(expected, known), text(actual, known)
    if max(len(one), len(other)) <= ONE_LINE:
        yield f"expected  {one}"
        yield f"actual    {other}"
        return
    yield "expected (-) and actual (+) differ:"
    shown = [
        line
        for line in difflib.unified_diff(list(lines(expected, known)), list(lines(actual, known)), lineterm="", n=2)
        if not line.startswith(("---", "+++", "@@"))
    ]
    yield from shown[:LINES_LIMIT]
    if len(shown) > LINES_LIMIT:
        yield f"… and {len(shown) - LINES_LIMIT} more lines"


def _terms(event: Mapping[str, Any]) -> object:
    node = event.get("Node")
    terms = node.get("terms") if isinstance(node, Mapping) else None
    return [terms] if isinstance(terms, Mapping) and "type" in terms else terms


def _name(term: Term) -> str:
    parts = [str(part.get("value")) for part in term.get("value", ())] if term.get("type") == "ref" else []
    return ".".join(parts)


def _call(terms: Sequence[Term], known: Locals) -> str:
    """Return an expression as it stands in Rego: a call with its arguments, or a reference."""
    first, *rest = terms
    return f"{text(first, known)}({', '.join(text(one, known) for one in rest)})" if rest else text(first, known)
