"""A plan in the form that its reader wants: at a terminal, on a pull request, in a browser, for a program.

Each form is one module with one pure function from a plan to text. What manifests say goes through `printable` and each form's own
escaping, since whoever opens a pull request writes it.
"""

import re
from collections.abc import Callable, Mapping

from reconciler.cli.planned import html, machine, markdown, text
from reconciler.pipeline.plan.shape import Plan

FORMATS: Mapping[str, Callable[[Plan], str]] = {
    "text": text.render,
    "json": machine.render,
    "markdown": markdown.render,
    "html": html.render,
}
_SURROGATES = re.compile("[\ud800-\udfff]")


def render(plan: Plan, form: str) -> str:
    """Return a plan in one of `FORMATS`, without a line feed at its end; raise `KeyError` for any other.

    What no file can hold (halves of characters, out of paths that are no UTF-8) is replaced.
    """
    return _SURROGATES.sub("\ufffd", FORMATS[form](plan))
