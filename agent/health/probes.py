"""Asking whether what runs here works: over HTTP, by a connection, by a command, by the age of a file.

A probe is asked once and says why it fails; how often, how long and how many failures are too many is for who asks.
"""

import socket
import time
from urllib.parse import urlsplit

import urllib3

from agent.commands import SHOWN, Commands
from agent.host import Host
from agent.protocol import duration
from agent.protocol.errors import OrdainError
from agent.protocol.state import Probe

GOOD = range(200, 300)
"""Answers that are a yes. Redirects are none and not followed: where they lead is another thing's health."""
BODY_LIMIT = 64 * 1024
"""Bytes of an answer that are read, so that the other end may finish; nothing is looked for in them."""


def ask(probe: Probe, *, host: Host, run: Commands) -> str | None:
    """Return why a probe fails now, None if it holds. Never raises: what goes wrong is the reason."""
    try:
        seconds = float(max(1, duration.seconds(probe.timeout)))
        if probe.http is not None:
            return _http(probe.http, seconds)
        if probe.tcp is not None:
            return _tcp(probe.tcp, seconds)
        if probe.command:
            return _command(probe.command, seconds, run)
        return _file(probe, host) if probe.file is not None else None
    except (OrdainError, OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        return str(error)[-SHOWN:]


def _http(url: str, seconds: float) -> str | None:
    with urllib3.PoolManager(retries=False) as pool:
        answer = pool.request("GET", url, timeout=seconds, redirect=False, preload_content=False)
        answer.read(BODY_LIMIT)
        status = answer.status
        answer.close()
    return None if status in GOOD else f"{url} answers {status}"


def _tcp(address: str, seconds: float) -> str | None:
    parts = urlsplit(f"//{address}")
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=seconds):
        return None


def _command(command: list[str], seconds: float, run: Commands) -> str | None:
    ended = run.run(*command, timeout=seconds, together=True, sweep=True)
    return None if ended.code == 0 else ended.failure


def _file(probe: Probe, host: Host) -> str | None:
    path = probe.file or ""
    if host.observe(path).kind != "file":
        return f"there is no file {path}"
    age = time.time() - host.outside(path).stat().st_mtime
    if probe.max_age is not None and age > duration.seconds(probe.max_age):
        return f"{path} was changed {age:.0f} s ago, and should have been within {probe.max_age}"
    return None
