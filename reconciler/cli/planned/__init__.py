"""A plan in the form that its reader wants: at a terminal, on a pull request, in a browser, for a program.

Each form is one module with one pure function from a plan to text. What manifests say goes through `printable` and each form's own
escaping, since whoever opens a pull request writes it.
"""

from collections.abc import Mapping

from reconciler.cli.forms import rendered
from reconciler.pipeline.plan.shape import Plan

FORMATS: Mapping[str, str] = {
    "text": "reconciler.cli.planned.text",
    "json": "reconciler.cli.planned.machine",
    "markdown": "reconciler.cli.planned.markdown",
    "html": "reconciler.cli.planned.html",
}
"""Name → the module that writes it."""


def render(plan: Plan, form: str) -> str:
    """Return a plan in one of `FORMATS`, as `rendered`."""
    return rendered(FORMATS, form, plan)
