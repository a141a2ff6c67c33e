"""What `ordain check` found, in the form that its reader wants: people, forges, test viewers, programs.

Each form is one module with one pure function from an outcome to text; `render` picks it. None of them shows more than
verdicts hold, and those hold no secrets.
"""

import re
from collections.abc import Callable, Mapping

from reconciler.cli.report import github, junit, machine, markdown, sarif, text
from reconciler.cli.report.outcome import Outcome as Outcome

FORMATS: Mapping[str, Callable[[Outcome], str]] = {
    "text": text.render,
    "json": machine.render,
    "sarif": sarif.render,
    "junit": junit.render,
    "github": github.render,
    "markdown": markdown.render,
}
_SURROGATES = re.compile("[\ud800-\udfff]")


def render(outcome: Outcome, form: str) -> str:
    """Return an outcome in one of `FORMATS`, without a line feed at its end; raise `KeyError` for any other.

    What no file can hold (halves of characters, out of paths that are no UTF-8) is replaced.
    """
    return _SURROGATES.sub("\ufffd", FORMATS[form](outcome))
