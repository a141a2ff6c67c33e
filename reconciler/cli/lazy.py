"""Groups whose commands are imported only when they are asked for: a command costs what it needs itself, and no more."""

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler.cli.collecting import uncollected


class LazyGroup(click.Group):
    """A group that knows its commands as `module:attribute`; help texts come from the modules."""

    def __init__(self, *arguments: Any, lazy: Mapping[str, str], **options: Any) -> None:
        """Make a group with the commands `lazy`, by name, besides those that are added to it."""
        super().__init__(*arguments, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in order."""
        return sorted({*self._lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now; None where there is none of that name."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(_load(module), attribute)
        return command


def _load(module: str) -> ModuleType:
    """Import a command's module; raise `InputError` where a host has the base alone, without the extra."""
    if module in sys.modules:
        return sys.modules[module]
    try:
        with uncollected():
            return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in {"agent", "reconciler"}:
            raise
        message = (
            f"this environment has the agent alone (no {missing.name}); "
            "install the control plane with pip install 'ordain[reconciler]', or use ordain-agent"
        )
        raise InputError(message) from missing
