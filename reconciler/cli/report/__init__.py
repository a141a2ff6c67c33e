"""What `ordain check` found, in the form that its reader wants: people, forges, test viewers, programs.

Each form is one module with one pure function from an outcome to text; `render` picks it. None of them shows more than
verdicts hold, and those hold no secrets.
"""

from collections.abc import Mapping

from reconciler.cli.forms import rendered
from reconciler.cli.report.outcome import Outcome as Outcome

FORMATS: Mapping[str, str] = {
    "text": "reconciler.cli.report.text",
    "json": "reconciler.cli.report.machine",
    "sarif": "reconciler.cli.report.sarif",
    "junit": "reconciler.cli.report.junit",
    "github": "reconciler.cli.report.github",
    "markdown": "reconciler.cli.report.markdown",
}
"""Name → the module that writes it."""


def render(outcome: Outcome, form: str) -> str:
    """Return an outcome in one of `FORMATS`, as `rendered`."""
    return rendered(FORMATS, form, outcome)
