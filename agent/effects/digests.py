"""By what it is known that a process must be restarted, or an action run: digests of what they are and of what they read. Pure.

Contents are those that the release says, not those that lie there: drift that is put right restarts nothing by itself. A
program that comes with the release counts as read by its process, whether it is named in `restartOn` or not.
"""

from collections.abc import Iterable, Mapping

import msgspec

from agent.apply.plan import parents
from agent.protocol import codec
from agent.protocol.state import Action, Process
from agent.providers.item import Item

NONE_SEALED: Mapping[str, str] = {}


def process_digest(process: Process, items: Mapping[str, Item], sealed: Mapping[str, str] = NONE_SEALED) -> str:
    """Return the digest of a process's spec and of what it reads; order and policy of notification are no part of it.

    Variables that hold secrets are in it by what may be kept of them (`sealed`).
    """
    spec = msgspec.structs.replace(process, after=[], restart_on=[], environment={**process.environment, **sealed})
    return codec.sha256(codec.canonical([msgspec.to_builtins(spec), contents([process.command[0], *process.restart_on], items)]))


def action_digest(action: Action, items: Mapping[str, Item]) -> str:
    """Return the digest of an action's command and of the contents at its paths."""
    return codec.sha256(codec.canonical([action.run, contents(action.on, items)]))


def contents(paths: Iterable[str], items: Mapping[str, Item]) -> dict[str, str]:
    """Return path → content of every item that is at one of the paths, below it, or an unpacked artifact that holds it."""
    found: dict[str, str] = {}
    for path in paths:
        above = {*parents(path)}
        for item in items.values():
            holds = item.path in above and item.kind == "tree"
            if item.path == path or holds or item.path.startswith(path.rstrip("/") + "/"):
                found[item.path] = _content(item)
    return found


def _content(item: Item) -> str:
    if item.source is not None:
        return f"{item.kind} {item.source.sha256}"
    return f"{item.kind} {item.target or item.shown_digest or ''}"
