"""What runs here of each fleet, for `ordain-agent status`: processes and services with what they use. Reads, and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.apply.generations import Generations
from agent.disk import Disk
from agent.host import Host
from agent.logs import printable
from agent.processes.interface import Processes, Seen
from agent.processes.onlooker import Onlooker
from agent.protocol.errors import OrdainError
from agent.protocol.state import State
from agent.services import seen as units
from agent.services.systemd import Systemd
from agent.services.transient import TransientUnits

ENVIRONMENTS = "/run/ordain-environments"
"""Where systemd finds the environments of processes: in memory, since they may hold secrets, and gone with the units at a boot."""
MEBIBYTE = 1024 * 1024
HEAD = ("RESOURCE", "FLEET", "STANDS", "PID", "SINCE", "RESTARTS", "CPU", "MEMORY", "WHY")
"""Of the table; the last column is left out where nothing has a reason."""


class Running(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One process or service as it is now; `kind` is `process` or `service`. What isn't known, or measured, is null."""

    kind: str
    name: str
    fleet: str
    standing: str
    pid: int | None = None
    since: str = ""
    """RFC 3339."""
    restarts: int = 0
    """Starts by itself since somebody started it."""
    cpu_seconds: float | None = None
    rss_bytes: int | None = None
    why: str = ""
    notes: tuple[str, ...] = ()


def running(disk: Disk, root: Path) -> list[Running]:
    """Return what the fleets' current generations have run here, and what still runs that none names, by kind and name."""
    states = {fleet: Generations(disk.fleet(fleet)).current_state() for fleet in disk.known_fleets()}
    return [*_processes(states, onlooker(disk, Host(root)).look()), *_services(states, root)]


def onlooker(disk: Disk, host: Host) -> Processes:
    """Return what sees the processes of this host, whoever runs them."""
    systemd = Systemd(root=host.root)
    if host.is_whole_machine and systemd.available():
        return TransientUnits(host.outside(ENVIRONMENTS), host=host, systemd=systemd)
    return Onlooker(disk.processes, host=host)


def _processes(states: dict[str, State], seen: dict[str, Seen]) -> Iterator[Running]:
    fleets = {process.name: fleet for fleet, state in states.items() for process in state.processes}
    for name in sorted({*fleets, *seen}):
        one = seen.get(name, Seen(standing="stopped"))
        yield Running(
            kind="process",
            name=name,
            fleet=fleets.get(name, ""),
            standing=one.standing,
            pid=one.pid,
            since=one.since,
            restarts=one.restarts,
            cpu_seconds=one.cpu_seconds,
            rss_bytes=one.rss_bytes,
            why=one.why,
            notes=one.notes,
        )


def _services(states: dict[str, State], root: Path) -> Iterator[Running]:
    fleets = {service.name: fleet for fleet, state in states.items() for service in state.services}
    try:
        seen = units.look(Systemd(root=root), sorted(fleets))
    except OrdainError as error:
        for name in sorted(fleets):
            yield Running(kind="service", name=name, fleet=fleets[name], standing="unknown", why=str(error))
        return
    for name, one in seen.items():
        why = one.error or ("" if one.result == "success" else one.result)
        yield Running(
            kind="service",
            name=name,
            fleet=fleets[name],
            standing=one.active,
            pid=one.pid,
            since=one.since,
            restarts=one.restarts,
            cpu_seconds=None if one.cpu is None else one.cpu / 1e9,
            rss_bytes=one.memory,
            why=why,
        )


def table(rows: list[Running]) -> list[str]:
    """Return rows as lines of a table, none where nothing runs; what a program said stays on its line."""
    if not rows:
        return []
    cells = [HEAD, *(_cells(row) for row in rows)]
    if not any(row[-1] for row in cells[1:]):
        cells = [line[:-1] for line in cells]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip() for line in cells]


def _cells(row: Running) -> tuple[str, ...]:
    cpu = "-" if row.cpu_seconds is None else f"{row.cpu_seconds:.1f}s"
    memory = "-" if row.rss_bytes is None else f"{row.rss_bytes / MEBIBYTE:.1f}Mi"
    pid = "-" if row.pid is None else str(row.pid)
    why = printable(row.why) if row.standing != "running" else ""
    return f"{row.kind}/{row.name}", row.fleet or "-", row.standing, pid, row.since or "-", str(row.restarts), cpu, memory, why
