"""Which processes of the machine belong to one that we started, and how to end them all.

Whatever a process starts belongs to it, also when it forks twice into a session of its own and its parents are gone. It is
known by any of these: its control group; a parent or a session that is the main process's, while that one is there; and the
variable `ORDAIN_PROCESS`, which every process inherits. Without a control group, only a process that left its session, cleared
its environment and lost its parents before we looked can't be found. An agent that made itself their "subreaper" would lose
them all at its own restart, which is when it matters.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.protocol.errors import RetryError

VARIABLE = "ORDAIN_PROCESS"
"""The variable in the environment of all that a process starts: `<agent's directory>/<name>`, the directory as a digest."""
KILL_SECONDS = 20.0
"""Room for a killed process to write its pages back; one that takes longer hangs in the kernel."""
_ROUNDS = 50
"""Times that we look for what was forked while we stopped the others."""
_TICK = 0.02
_PREFIX = f"{VARIABLE}=".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """A process of the machine; `began` in ticks since boot, `ticks` of processor time, of children that it waited for too."""

    pid: int
    state: str
    parent: int
    session: int
    ticks: int
    began: int
    pages: int

    @property
    def is_zombie(self) -> bool:
        """Whether it has ended and nobody asked how."""
        return self.state in ("Z", "X")


def read(pid: int) -> Alive | None:
    """Return a process, None if there is no such one (any more) or we may not see it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name before may hold anything
    return Alive(
        pid=pid,
        state=fields[0].decode(),
        parent=int(fields[1]),
        session=int(fields[3]),
        ticks=sum(int(field) for field in fields[11:15]),
        began=int(fields[19]),
        pages=int(fields[21]),
    )


def table() -> dict[int, Alive]:
    """Return all processes of the machine by pid."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - only names, of hundreds
    return {pid: alive for pid in pids if (alive := read(pid)) is not None}


class Markers:
    """Whose each process is, by its environment or because it was seen with its parents once.

    It is asked once for each process: so nothing that happens to it later, nor to its parents, makes it anybody else's.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], str] = {}
        self._lock = threading.Lock()

    def read(self, processes: Mapping[int, Alive]) -> dict[int, str]:
        """Return pid → the value of `ORDAIN_PROCESS`, for those that have one and that we may read."""
        known: dict[tuple[int, int], str] = {}
        with self._lock:
            for pid, alive in processes.items():
                key = pid, alive.began
                found = self._known[key] if key in self._known else _marker(pid)
                if found is not None:
                    known[key] = found
            self._known = known
        return {pid: marker for (pid, _), marker in known.items() if marker}

    def remember(self, marker: str, found: Collection[Alive]) -> None:
        """Take these processes to have this marker from now on."""
        with self._lock:
            self._known |= {(alive.pid, alive.began): marker for alive in found}


def _marker(pid: int) -> str | None:
    """Return the marker of a process, empty if it has none; None if that can't be known, or not yet, since it is being executed."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    if not environment:
        return None
    found = next((entry for entry in environment.split(b"\0") if entry.startswith(_PREFIX)), b"")
    return found.removeprefix(_PREFIX).decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """Where to begin to look for the kin of one process: its marker, its main process if it is known, its control group's pids."""

    marker: str
    pid: int | None = None
    began: int | None = None
    members: frozenset[int] = frozenset()


def kin(roots: Mapping[str, Root], processes: Mapping[int, Alive], markers: Mapping[int, str]) -> dict[str, list[Alive]]:
    """Return all that belongs to each of `roots`, without the dead, by the root's name."""
    named = {root.marker: name for name, root in roots.items()}
    mains = {root.pid: name for name, root in roots.items() if _is_there(root, processes)}
    owners = {pid: named[marker] for pid, marker in markers.items() if marker in named}
    owners |= {pid: name for name, root in roots.items() for pid in root.members}
    owners |= {pid: mains[alive.session] for pid, alive in processes.items() if alive.session in mains}
    found: dict[str, list[Alive]] = {name: [] for name in roots}
    for pid, alive in processes.items():
        name = _owner(alive, processes, owners)
        if name is not None and not alive.is_zombie and pid != os.getpid():
            found[name].append(alive)
    return found


def _is_there(root: Root, processes: Mapping[int, Alive]) -> bool:
    """Return whether the main process is there, if only as a zombie: until then nobody else has its pid, nor its session's number."""
    alive = processes.get(root.pid or 0)
    return alive is not None and alive.began == root.began


def _owner(alive: Alive, processes: Mapping[int, Alive], owners: Mapping[int, str]) -> str | None:
    """Return whose a process is: its own mark counts, else the nearest parent's.

    The table is no snapshot, so pids may have changed hands while it was read: a parent is never younger than its child.
    """
    passed = set()
    one: Alive | None = alive
    while one is not None and one.pid not in passed and one.pid != os.getpid():
        if one.pid in owners:
            return owners[one.pid]
        passed.add(one.pid)
        parent = processes.get(one.parent)
        one = parent if parent is not None and parent.began <= one.began else None
    return None


def send(alive: Alive, number: int) -> None:
    """Send a signal to this very process; one that is gone, or whose pid is another's now, gets none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        descriptor = os.pidfd_open(alive.pid)
        try:
            seen = read(alive.pid)
            if seen is not None and seen.began == alive.began:
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def ask(alive: Alive, number: int) -> None:
    """Send a signal that asks to end to a process, which may be stopped."""
    send(alive, number)
    send(alive, signal.SIGCONT)


def end(find: Callable[[], Collection[Alive]]) -> None:
    """Kill all that `find` returns, and what they fork meanwhile: each is stopped first, so that none is born unseen.

    Raises:
        RetryError: some are still there after `KILL_SECONDS`.
    """
    held: set[tuple[int, int]] = set()
    for _ in range(_ROUNDS):
        left = find()
        new = [alive for alive in left if (alive.pid, alive.began) not in held]
        if not left:
            return
        if not new:
            break
        for alive in new:
            send(alive, signal.SIGSTOP)
            held.add((alive.pid, alive.began))
    _kill(find)


def _kill(find: Callable[[], Collection[Alive]]) -> None:
    deadline = time.monotonic() + KILL_SECONDS
    while left := find():
        for alive in left:
            send(alive, signal.SIGKILL)
        if time.monotonic() > deadline:
            pids = ", ".join(str(alive.pid) for alive in left)
            message = f"still there after SIGKILL: {pids}; see what they wait for with `ps -o pid,stat,wchan,cmd -p {pids}`"
            raise RetryError(message)
        time.sleep(_TICK)
