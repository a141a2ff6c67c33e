"""Check commands: a program's own opinion of a staged file, asked before anything switches.

No shell. `{staged}` is the file that the check belongs to, `{staged:PATH}` any path of this generation, also one within an
unpacked artifact: its staged copy if it changes now, else the file itself.
"""

import re
from collections.abc import Mapping

from agent.apply.plan import parents
from agent.commands import Commands, MissingProgramError
from agent.host import Host
from agent.protocol import rendering
from agent.protocol.errors import RefusedError, RetryError
from agent.providers.item import Item
from agent.services.verify import UnitError, verify

SECONDS = 60.0
"""Room for a validator that loads models or resolves names; a hung one may not hold up the fleet for longer."""
RUN = Commands()
"""A check must not depend on how the agent was started, nor read what is in its environment."""


class CheckError(RefusedError):
    """A check said no, could not be run, or did not end."""


def run_checks(items: Mapping[str, Item], staged: Mapping[str, str], *, host: Host) -> None:
    """Run the check of every item that changes or whose check names a path that does; `staged` is path → staged path.

    Unit files and containers need none of their own: systemd and Podman are asked about those that change.

    Raises:
        CheckError: with the end of the command's output, or with what systemd or Podman said.
        RefusedError: there are containers, and no Podman.
        RetryError: systemd or Podman did not answer.
    """
    for item in items.values():
        found = (match[1] or item.path for argument in item.check for match in rendering.STAGED.finditer(argument))
        named = {_held(path, items) or path for path in found}
        if item.check and not staged.keys().isdisjoint({item.path, *named}):
            _run(item, [_resolved(item, argument, items, staged, host) for argument in item.check])
    try:
        verify(items, staged, host=host)
    except UnitError as error:
        raise CheckError(str(error)) from error


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
    try:
        ended = RUN.run(*command, timeout=SECONDS, together=True, sweep=True)
    except (MissingProgramError, RetryError) as error:
        message = f"{item.path}: its check {error}"
        raise CheckError(message) from error
    if ended.code != 0:
        message = f"{item.path}: its check {ended.failure}"
        raise CheckError(message)
