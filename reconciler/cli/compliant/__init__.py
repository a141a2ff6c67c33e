"""A report on compliance in the form that its reader wants: at a terminal, in a browser, for a program, for a spreadsheet.

Each form is one module with one pure function from a report to text.
"""

import re
from collections.abc import Callable, Mapping

from reconciler.cli.compliant import html, machine, markdown, sheet, text
from reconciler.pipeline.compliance.shape import Report

FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": text.render,
    "markdown": markdown.render,
    "html": html.render,
    "csv": sheet.render,
    "json": machine.render,
}
_SURROGATES = re.compile("[\ud800-\udfff]")


def render(report: Report, form: str) -> str:
    """Return a report in one of `FORMATS`, without a line feed at its end; raise `KeyError` for any other.

    What no file can hold (halves of characters, out of paths that are no UTF-8) is replaced.
    """
    return _SURROGATES.sub("\ufffd", FORMATS[form](report))
