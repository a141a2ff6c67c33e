"""What systemd and Podman themselves think of staged unit files and containers, asked before anything switches.

Each tool reads a directory of copies: what stands in its own directory now, with what this release puts and takes away. So a unit
may refer to another one of the same release, and a drop-in is judged together with its unit. Only what is said of files of this
release counts: what the host has had before is its owner's.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.commands import Commands, Ended, MissingProgramError
from agent.host import Host
from agent.protocol.errors import RefusedError, RetryError
from agent.providers.item import Item

UNITS = "/etc/systemd/system"
CONTAINERS = "/etc/containers/systemd"
GENERATORS = ("usr/lib/systemd/system-generators/podman-system-generator", "usr/libexec/podman/quadlet", "usr/lib/podman/quadlet")
"""Where distributions have Podman's generator, below the root."""
QUADLETS = frozenset({"container", "volume", "network", "kube", "image", "pod", "build"})
"""What Podman's generator reads, by the endings of names."""


def find_generator(root: Path = Path("/")) -> Path | None:
    """Return Podman's generator, None if the host has none."""
    return next((root / place for place in GENERATORS if (root / place).is_file()), None)
