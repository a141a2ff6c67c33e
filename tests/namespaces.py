"""A host's own network: a namespace that reaches this machine by one line, for firewall rules that nobody else feels."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One network: its name, and the two ends of the line."""

    name: str
    here: str
    there: str

    def within(self, *command: str) -> list[str]:
        """Return the command line that runs a command in it."""
        return ["ip", "netns", "exec", self.name, *command]


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Give a network of its own, of addresses that are kept for tests (RFC 2544)."""
    number = os.getpid() % 16_384 + 16_384 * (next(_numbers) % 2)
    base = f"198.{18 + number // 16_384}.{number // 64 % 256}.{number % 64 * 4}".rsplit(".", 1)
    name, low = f"ordain-{number}", int(base[1])
    made = Namespace(name=name, here=f"{base[0]}.{low + 1}", there=f"{base[0]}.{low + 2}")
    _ip("netns", "add", name)
    try:
        _ip("link", "add", f"or{number}", "type", "veth", "peer", "name", "uplink", "netns", name)
        _ip("addr", "add", f"{made.here}/30", "dev", f"or{number}")
        _ip("link", "set", f"or{number}", "up")
        _ip("-n", name, "addr", "add", f"{made.there}/30", "dev", "uplink")
        for device in ("uplink", "lo"):
            _ip("-n", name, "link", "set", device, "up")
        yield made
    finally:
        _ip("netns", "del", name)


def possible() -> Path | None:
    """Return where ip is, if such a network with a firewall can be had here."""
    found = shutil.which("ip")
    if os.geteuid() != 0 or found is None or shutil.which("iptables-restore") is None:
        return None
    try:
        with namespace() as made:
            subprocess.run(made.within("iptables", "-A", "OUTPUT", "-p", "tcp", "-j", "ACCEPT"), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return Path(found)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
