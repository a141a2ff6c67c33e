"""Control groups (version 2) for processes, where this agent may make them: limits for a whole tree, its use, and its end.

The kernel gives controllers only to groups whose parent holds no processes, so the agent moves itself, and nobody else, into a
group beside those of its processes. Without controllers, as on machines that keep them in version 1, a group still tells who
belongs to a process and ends them all.
"""

import contextlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from agent.protocol.codec import sha256
from agent.protocol.quantity import octets, percent
from agent.protocol.state import Limits

OWN = "ordain-agent"
"""The group that the agent moves itself into."""
CPU_PERIOD = 100_000
"""Microseconds over which a share of the processor is counted: the kernel's default."""
_WANTED = ("memory", "cpu", "pids")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit: its controller, what to write into which file, and how it is called in sentences."""

    controller: str
    file: str
    value: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a group used: seconds of processor time, of processes that are gone too, and bytes of memory that are not cache."""

    cpu_seconds: float
    memory: int | None
    """None without a memory controller."""


class Cgroups:
    """The groups of one agent's processes, below `base`, a directory of cgroup v2."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._controllers = frozenset(_read(base / "cgroup.subtree_control").split())

    def make(self, name: str, limits: Limits) -> Path:
        """Make the group of a process and set its limits; return it. Raises `OSError`."""
        group = self._base / name
        group.mkdir(exist_ok=True)
        for controller, file in (("memory", "memory.max"), ("cpu", "cpu.max"), ("pids", "pids.max")):
            if controller in self._controllers:
                (group / file).write_text("max")  # what an earlier spec set
        for limit in limits_of(limits):
            if limit.controller in self._controllers:
                (group / limit.file).write_text(limit.value)
        return group

    @property
    def controllers(self) -> frozenset[str]:
        """What the groups can limit here."""
        return self._controllers


def limits_of(limits: Limits) -> list[Limit]:
    """Return the limits that a group keeps; raise `MalformedError` for one that is no quantity."""
    found = []
    if limits.memory:
        found.append(Limit(controller="memory", file="memory.max", value=str(octets(limits.memory)), said=f"of memory, {limits.memory}"))
        found.append(Limit(controller="memory", file="memory.oom.group", value="1", said=""))  # half a process tree helps nobody
    if limits.cpu:
        share = f"{percent(limits.cpu) * CPU_PERIOD // 100} {CPU_PERIOD}"
        found.append(Limit(controller="cpu", file="cpu.max", value=share, said=f"of processor time, {limits.cpu}"))
    if limits.processes:
        found.append(Limit(controller="pids", file="pids.max", value=str(limits.processes), said=f"of processes, {limits.processes}"))
    return found


def notes(limits: Limits, controllers: Collection[str]) -> tuple[str, ...]:
    """Return a sentence for each limit that needs a controller other than `controllers`."""
    return tuple(
        f"the limit {limit.said}, can't be kept: there is no {limit.controller} controller of cgroup v2 for the agent here"
        for limit in limits_of(limits)
        if limit.said and limit.controller not in controllers
    )


# One group, by its path: the record of a process holds it, and may be another agent's work


def members(group: Path) -> frozenset[int]:
    """Return the pids in a group and below it; none if it is gone."""
    return frozenset().union(*(_pids(Path(place)) for place, _, _ in os.walk(group)))


def kill(group: Path) -> None:
    """Kill all in a group at once; nothing happens where the kernel is too old (before 5.14), or the group gone."""
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1")


def remove(group: Path) -> None:
    """Remove a group that holds no processes, with those below it; one that still does is left."""
    for place, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(place).rmdir()


def use(group: Path) -> Use | None:
    """Return what a group used, None if it is gone."""
    spent = _numbers(group / "cpu.stat").get("usage_usec")
    if spent is None:
        return None
    kept = _numbers(group / "memory.stat")
    memory = sum(kept.get(part, 0) for part in ("anon", "kernel", "shmem")) if kept else None
    return Use(cpu_seconds=spent / 1e6, memory=memory)


def ran_out_of_memory(group: Path) -> bool:
    """Return whether the kernel killed something in a group for its limit of memory."""
    return _numbers(group / "memory.events").get("oom_kill", 0) > 0


# Where


def find(directory: Path) -> Cgroups | None:
    """Return where the agent with this directory may make groups, None if it may nowhere. Moves the agent if controllers need it."""
    mount, own = mounted(), _own()
    if mount is None or own is None:
        return None
    above = mount / own.lstrip("/")
    above = above.parent if above.name == OWN else above
    base = above / f"ordain-{sha256(str(directory.resolve()).encode())[:12]}"
    try:
        base.mkdir(exist_ok=True)
        enable(above, moving=True)
        enable(base)
    except OSError:
        return None
    return Cgroups(base) if os.access(base / "cgroup.procs", os.W_OK) else None


def enable(group: Path, *, moving: bool = False) -> None:
    """Pass on what controllers there are to the groups below; a group with processes may not, so if it is only us, we move out of it."""
    there = _read(group / "cgroup.controllers").split()
    line = " ".join(f"+{controller}" for controller in _WANTED if controller in there)
    try:
        (group / "cgroup.subtree_control").write_text(line)
    except OSError:
        if not moving or _pids(group) != {os.getpid()}:
            return
        (group / OWN).mkdir(exist_ok=True)
        (group / OWN / "cgroup.procs").write_text(str(os.getpid()))
        (group / "cgroup.subtree_control").write_text(line)


def _pids(group: Path) -> frozenset[int]:
    return frozenset(int(pid) for pid in _read(group / "cgroup.procs").split())


def mounted() -> Path | None:
    """Return where cgroup v2 is mounted: mountinfo's fifth field is the place, octal escapes in it, and the type follows a dash."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), before.split()[4]))
    return None


def _own() -> str | None:
    lines = _read(Path("/proc/self/cgroup")).splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _numbers(path: Path) -> dict[str, int]:
    """Return a flat keyed file of the kernel (`name number` on each line)."""
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}  # noqa: PLR2004 - a name and a number
