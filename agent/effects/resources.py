"""What a state owns on a host beside paths, by name: what two fleets may not both have. Pure.

A module of the kernel may be asked for by several fleets, since loading it is all that any of them does.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from agent.effects.order import PROCESS, SERVICE
from agent.protocol.state import State

PREFIXES = {
    "processes": PROCESS,
    "services": SERVICE,
    "repositories": "repository/",
    "packages": "package/",
    "groups": "group/",
    "users": "user/",
    "sysctls": "sysctl/",
    "host_files": "block/",
}
"""A state's list → how what is in it is named."""


def resources(state: State) -> frozenset[str]:
    """Return the names of what a state owns: `process/app`, `service/nginx.service`, `package/nginx` and so on."""
    return frozenset(_name(part, one) for part in PREFIXES for one in getattr(state, part))


def without(state: State, taken: Collection[str]) -> State:
    """Return a state without the resources that are `taken`."""
    if not taken:
        return state
    kept = {part: [one for one in getattr(state, part) if _name(part, one) not in taken] for part in PREFIXES}
    return msgspec.structs.replace(state, **kept)


def _name(part: str, one: Any) -> str:
    """Return how a resource is named; blocks of one name may stand in several files."""
    name = f"{PREFIXES[part]}{one.name}"
    return f"{name} of {one.path}" if part == "host_files" else name
