"""Check commands: a program's own opinion of a staged file, asked before anything switches.

No shell. `{staged}` is the file that the check belongs to, `{staged:PATH}` any path of this generation, also one within an
unpacked artifact: its staged copy if it changes now, else the file itself.
"""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping

from agent.apply.plan import parents
from agent.host import Host
from agent.protocol import rendering
from agent.protocol.errors import RefusedError
from agent.providers.item import Item

SECONDS = 60.0
"""Room for a validator that loads models or resolves names; a hung one may not hold up the fleet for longer."""
OUTPUT_SHOWN = 2000
"""Characters of output in the error: the end, where programs say what was wrong."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
"""All that a check sees: it must not depend on how the agent was started, nor read what is in its environment."""


class CheckError(RefusedError):
    """A check said no, could not be run, or did not end."""


def run_checks(items: Mapping[str, Item], staged: Mapping[str, str], *, host: Host) -> None:
    """Run the check of every item that changes or whose check names a path that does; `staged` is path → staged path.

    Raises:
        CheckError: with the end of the command's output.
    """
    for item in items.values():
        found = (match[1] or item.path for argument in item.check for match in rendering.STAGED.finditer(argument))
        named = {_held(path, items) or path for path in found}
        if item.check and not staged.keys().isdisjoint({item.path, *named}):
            _run(item, [_resolved(item, argument, items, staged, host) for argument in item.check])


def _held(path: str, items: Mapping[str, Item]) -> str | None:
    """Return the path of the item that has `path`: its own, or that of the unpacked artifact in which it lies."""
    if path in items:
        return path
    above = (one for one in parents(path) if one in items and items[one].kind == "tree")
    return next(above, None) if ".." not in path.split("/") else None


def _resolved(item: Item, argument: str, items: Mapping[str, Item], staged: Mapping[str, str], host: Host) -> str:
    def one(match: re.Match[str]) -> str:
        path = match[1] or item.path
        held = _held(path, items)
        if held is None:
            message = f"{item.path}: its check names {match[0]}, which is no path of this release"
            raise CheckError(message)
        return str(host.outside(staged.get(held, held) + path.removeprefix(held)))

    return rendering.STAGED.sub(one, argument)


def _run(item: Item, command: list[str]) -> None:
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            message = f"{item.path}: its check {command[0]} can't be run: {error.strerror}"
            raise CheckError(message) from error
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired as error:
            message = f"{item.path}: its check {command[0]} did not end within {SECONDS:.0f} s"
            raise CheckError(message) from error
        finally:
            _end(process)
        if code != 0:
            said = _tail(output.fileno())
            message = f"{item.path}: its check {command[0]} ended with {code}{f': {said}' if said else ' and said nothing'}"
            raise CheckError(message)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the check and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, OUTPUT_SHOWN * 4, max(0, size - OUTPUT_SHOWN * 4)).decode(errors="replace").strip()[-OUTPUT_SHOWN:]
