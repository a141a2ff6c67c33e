"""The one way past a rewritten history: a file that names the head, made by a person on this host.

A head that doesn't descend from the examined one may be an attack (a force push back to an old, weaker
state), so no flag in git and no call over the network can allow it.
"""

import getpass
import os
from datetime import datetime
from pathlib import Path
from typing import Literal

from agent.protocol import durable
from agent.protocol.codec import canonical, decode
from agent.protocol.state import Struct

FILE = "history-exception.json"


class HistoryException(Struct):
    """A person's word that one head may follow though it doesn't descend from the examined one."""

    format: Literal[1]
    head: str
    reason: str
    who: str
    when: str


def read_exception(state: Path) -> HistoryException | None:
    """Return the exception that waits in this state directory, or None.

    Raises:
        MalformedError: the file is not one that `write_exception` wrote.
    """
    try:
        data = (state / FILE).read_bytes()
    except FileNotFoundError:
        return None
    return decode(data, HistoryException, what=str(state / FILE), limit=65536)


def write_exception(state: Path, *, head: str, reason: str, now: datetime) -> HistoryException:
    """Put down that `head` may follow, in place of any earlier exception; return what was put."""
    exception = HistoryException(format=1, head=head, reason=reason, who=_user(), when=now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    durable.replace(state / FILE, canonical(exception), mode=0o600)
    return exception


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def clear_exception(state: Path) -> None:
    """Remove the exception, if there is one, once the head that it names is the examined one."""
    if (state / FILE).exists():
        durable.remove(state / FILE)
