"""One manifest against its schema and against what a schema can't say: all errors at once, with places.

What needs a second document (a missing component, two owners of one path, references to labels) is judged by `compile`.
"""

import difflib
from collections.abc import Iterator

from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document, Layout
from reconciler.pipeline.validation.checks import check
from reconciler.pipeline.validation.findings import in_order, refused, schema_refused, shown, without_consequences
from reconciler.pipeline.validation.schemas import names, schema
from reconciler.pipeline.validation.structure import violations

__all__ = ["KINDS", "LATER", "names", "schema", "validate"]

KINDS = ("Repository", "Tenant", "Agent", "AgentPool", "Component", "Fleet", "Waiver", "Freeze", "Signer", "Role")
LATER = ("Task",)
"""Kinds whose names are taken, and which a later version will read."""


def validate(document: Document, layout: Layout) -> list[Finding]:
    """Return all that is wrong with one manifest by itself, in order of place; rules are `schema/<kind>` or `manifest/<what>`."""
    del layout  # where a manifest may lie is judged with all others at hand
    if document.kind not in KINDS:
        return list(_unknown_kind(document))
    return in_order(document, without_consequences([*violations(document), *check(document)]))


def _unknown_kind(document: Document) -> Iterator[Finding]:
    if "kind" not in document.value:
        message = f"a manifest needs a kind: one of {', '.join(KINDS)}"
        yield schema_refused(document, "required", (), message, remedy="write apiVersion: ordain.dev/v1 and kind: … at the top")
    elif document.kind in LATER:
        message = f"kind {document.kind} is not yet supported"
        yield refused(document, "unsupported", ("kind",), message, remedy="leave the manifest out until a version of ordain brings it")
    else:
        stated = shown(document.value["kind"])
        close = difflib.get_close_matches(document.kind, KINDS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KINDS)}"
        yield schema_refused(document, "kind", ("kind",), f"kind: {stated} is not known; {hint}", remedy="write one of the known kinds")
