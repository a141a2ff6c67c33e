"""On which loopback port a process listens, as the kernel tells it.

OPA does not say which port it got for `127.0.0.1:0`, and choosing one beforehand leaves a moment in which somebody
else may take it, be asked for verdicts and be handed the token. On Linux the kernel knows; elsewhere a free
port is chosen and that moment remains.
"""

import contextlib
import socket
import sys
from pathlib import Path

_LOOPBACK = "0100007F"
_LISTENING = "0A"


def choose() -> int:
    """Return the port to listen on: 0 (the kernel's choice) where `listening` can find it out, else one that is free."""
    if sys.platform == "linux":
        return 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(process: int, chosen: int) -> int | None:
    """Return the loopback port on which `process` listens, None as long as there is none."""
    if chosen:
        return chosen
    try:
        table = Path(f"/proc/{process}/net/tcp").read_text()
        sockets = _sockets(process)
    except OSError:  # it ended meanwhile
        return None
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        if fields[3] == _LISTENING and address == _LOOPBACK and fields[9] in sockets:
            return int(port, 16)
    return None


def _sockets(process: int) -> set[str]:
    """Return the inodes of all sockets that a process holds."""
    found = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            target = str(entry.readlink())
            if target.startswith("socket:["):
                found.add(target.removeprefix("socket:[").removesuffix("]"))
    return found
