"""What can't be switched back, as a whole: a plan of fixes in the order in which one rests on another, and carrying them out.

Repositories come before the packages that are in them, packages before the users that they make, groups before users, modules
before the settings that they bring. What was changed is written down before and after each fix, for keeps: a host that dies
in between leaves an account that says what was begun.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from agent.commands import Commands
from agent.host import Host
from agent.protocol.state import State
from agent.providers.fix import Fix


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One fix in an account: `begun` and nothing later means that the host died, or the agent was killed, in its midst."""

    provider: str
    resource: str
    why: list[str]
    at: str
    """When it was begun."""
    outcome: Literal["begun", "done", "failed"] = "begun"
    said: str = ""
    """Why it failed."""


class Account:
    """The written account of what an apply changed, at `path`: made anew by `carry_out`, kept until the next."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Entry]:
        """Return what was begun, in order; empty where nothing was. Raises `MalformedError` if it is damaged."""
        raise NotImplementedError


def plan(state: State, former: State | None, *, host: Host, run: Commands, stopping: Callable[[], bool], refresh: bool = True) -> list[Fix]:
    """Return what must be changed so that this host is as `state` says; `former` is what its fleet held before, None for nothing.

    Changes nothing of the host. With `refresh`, the package manager may fetch its lists anew to learn of a version; a look for
    drift or a preview leaves that out.

    Raises:
        RefusedError: something that this host can't hold, or must not: nothing has been touched.
        RetryError: it can't be said now (a lock, a package manager that doesn't answer).
    """
    raise NotImplementedError


def carry_out(fixes: Sequence[Fix], account: Account, *, stopping: Callable[[], bool]) -> None:
    """Carry fixes out one by one, each written into `account` before and after.

    Raises:
        RefusedError, RetryError: the first that failed; its text says what was changed before it. The rest is not begun.
    """
    raise NotImplementedError
