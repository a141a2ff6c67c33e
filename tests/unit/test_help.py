"""Every command of both programs says what it is for and shows an example."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from agent.cli import cli as agent
from reconciler.cli import cli as ordain

PROGRAMS = {"ordain": ordain, "ordain-agent": agent}


def commands(name: str, command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, click.Context]]:
    """Yield (words, context) of a command and all below it."""
    context = click.Context(command, info_name=name, parent=parent)
    yield context.command_path, context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands(below, found, context)


ALL = dict(found for name, program in PROGRAMS.items() for found in commands(name, program))


@pytest.mark.parametrize("words", ALL)
def test_the_help_of_every_command_shows_an_example_of_it(words: str) -> None:
    text = ALL[words].get_help()
    assert re.search(rf"^ +{re.escape(words)}(?: |$)", text.split("Example", 1)[-1], re.MULTILINE), text
    assert "Example" in text


def printed(no_color: str) -> bytes:
    """Return what a command prints to a terminal."""
    ours, its = pty.openpty()
    command = [sys.executable, "-c", "from reconciler.cli import main; main()", "explain", "manifest/syntax"]
    subprocess.run(command, env={**os.environ, "NO_COLOR": no_color}, check=True, stdout=its)
    os.close(its)
    said = os.read(ours, 65536)
    os.close(ours)
    return said


def test_no_color_leaves_no_sign_of_style_on_a_terminal() -> None:
    assert b"\x1b[" in printed("")
    assert b"\x1b[" not in printed("1")
