"""A replay as people and programs read it."""

import re
from collections.abc import Callable, Mapping

from reconciler.cli.backtested import machine, markdown, text
from reconciler.pipeline.backtest.shape import Replay

FORMATS: Mapping[str, Callable[[Replay], str]] = {"text": text.render, "markdown": markdown.render, "json": machine.render}
"""Name → what prints it."""
_SURROGATES = re.compile("[\ud800-\udfff]")


def render(replay: Replay, form: str) -> str:
    """Return a replay in one of `FORMATS`; what no file can hold (halves of characters, out of paths that are no UTF-8) is replaced."""
    return _SURROGATES.sub("\ufffd", FORMATS[form](replay))
