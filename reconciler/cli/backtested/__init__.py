"""A replay as people and programs read it."""

from collections.abc import Mapping

from reconciler.cli.forms import rendered
from reconciler.pipeline.backtest.shape import Replay

FORMATS: Mapping[str, str] = {
    "text": "reconciler.cli.backtested.text",
    "markdown": "reconciler.cli.backtested.markdown",
    "json": "reconciler.cli.backtested.machine",
}
"""Name → the module that writes it."""


def render(replay: Replay, form: str) -> str:
    """Return a replay in one of `FORMATS`, as `rendered`."""
    return rendered(FORMATS, form, replay)
