"""A secret that lies on the host: a file that nobody but its owner (and perhaps a group) may read, within a bound."""

import os
from pathlib import Path

from agent.host import Host, Observed
from agent.protocol.errors import RefusedError
from agent.protocol.state import SECRET_LIMIT

OTHERS = 0o027
"""What nobody else may have of it: a group may read it and not write it, all others nothing."""


def look(host: Host, path: str, *, own: Path) -> Observed:
    """Return what stands at a path, that may be read as a secret.

    Raises:
        RefusedError: none is there, others may read or change it, or it is the agent's own.
    """
    seen = host.observe(path)
    if seen.kind != "file":
        message = f"{path} is not there" if seen.kind == "absent" else f"{path} is a {seen.kind}, and no file"
        raise RefusedError(message)
    if seen.mode & OTHERS or seen.uid not in (0, os.geteuid()):
        message = f"{path} can be read or changed by others (mode {seen.mode:04o}): `chown root {path}; chmod 600 {path}`"
        raise RefusedError(message)
    if own.resolve() in Path(os.path.realpath(host.outside(host.resolve(path)))).parents:
        message = f"{path} is the agent's own"
        raise RefusedError(message)
    return seen


def read(host: Host, path: str) -> bytes:
    """Return what it holds; raise `RefusedError` if that is too much for a secret."""
    data = b""
    for chunk in host.read(path):
        data += chunk
        if len(data) > SECRET_LIMIT:
            message = f"{path} is larger than the {SECRET_LIMIT:,} bytes that a secret may have"
            raise RefusedError(message)
    return data
