"""Being let go: the server says that this host is no longer wanted, and what should become of what releases brought.

Nothing is removed because a server says so: only where the host's owner allows it, in `agent.toml`, for a server can be taken over.
"""

from agent.disk import Disk, read_optional
from agent.logs import timestamp
from agent.operations import uninstall
from agent.owner.configuration import line_of, read_sections
from agent.protocol import codec, durable
from agent.protocol.errors import InputError
from agent.protocol.state import Struct
from agent.protocol.watching import Leave
from agent.settling.settle import Settler

FORMAT = 1


class Left(Struct):
    """That this host was let go: what was asked, what was done (`kept`, `removed`), why, and when (RFC 3339)."""

    format: int
    asked: str
    done: str
    why: str
    at: str


def leave(settler: Settler, asked: Leave) -> Left:
    """Remove what releases brought if that is asked for and allowed, else keep it; note it for keeps, and return it.

    Call it with the agent's locks held, and what runs looked after. What a crash interrupts is taken up by calling it again.

    Raises:
        RefusedError: something could not be taken down; nothing is noted, and it is tried again.
        InputError: `agent.toml` can't be read.
    """
    why = asked.reason
    remove = asked.what == "remove"
    if remove and not _allowed(settler):
        remove = False
        why = f"{asked.reason}. Asked to remove everything, it is kept: {settler.settings.config} has no `[leave] remove = true`"
    if remove:
        for fleet in uninstall.remove(settler):
            settler.log.step("removed", fleet=fleet)
    left = Left(format=FORMAT, asked=asked.what, done="removed" if remove else "kept", why=why, at=timestamp())
    durable.replace(settler.work.disk.left, codec.canonical(left), mode=0o600)
    if left.done != "removed" and asked.what == "remove":
        settler.spool.note("problem", text=why)
    return left


def read_left(disk: Disk) -> Left | None:
    """Return that this host was let go, None where it was not."""
    return read_optional(disk.left, Left)


def _allowed(settler: Settler) -> bool:
    config = settler.settings.config
    text, document = read_sections(config)
    stated = document["leave"].get("remove", False)
    if not isinstance(stated, bool):
        message = f"{config}:{line_of(text, 'remove')}: leave.remove must be true or false"
        raise InputError(message)
    return stated
