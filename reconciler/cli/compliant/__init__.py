"""A report on compliance in the form that its reader wants: at a terminal, in a browser, for a program, for a spreadsheet.

Each form is one module with one pure function from a report to text.
"""

from collections.abc import Mapping

from reconciler.cli.forms import rendered
from reconciler.pipeline.compliance.shape import Report

FORMATS: Mapping[str, str] = {
    "text": "reconciler.cli.compliant.text",
    "markdown": "reconciler.cli.compliant.markdown",
    "html": "reconciler.cli.compliant.html",
    "csv": "reconciler.cli.compliant.sheet",
    "json": "reconciler.cli.compliant.machine",
}
"""Name → the module that writes it."""


def render(report: Report, form: str) -> str:
    """Return a report in one of `FORMATS`, as `rendered`."""
    return rendered(FORMATS, form, report)
