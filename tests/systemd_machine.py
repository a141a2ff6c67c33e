"""A real systemd: this machine's own, booted by systemd-nspawn from its /usr over an empty root in memory.

Unless it is told otherwise it sees nothing of the machine but /usr, read-only, and has no network. Tests speak to it as the agent
does, through programs of the same names that enter it first. It lies in control groups of its own, and is gone with all that it ran
when its first process is killed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agent.commands import Commands
from agent.services.systemd import SPEAKING, Systemd

BOOT_SECONDS = 120
"""Room for a machine that does ten other things; a boot takes three seconds on a quiet one."""
PROGRAMS = ("systemctl", "journalctl")
ENTER = """#!/bin/sh
exec /usr/bin/nsenter --target {pid} --all /usr/bin/{program} "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A booted systemd; `pid` is its first process, `shared` a directory that is at the same place inside and out."""

    pid: int
    root: Path
    programs: Path
    shared: Path

    @property
    def systemd(self) -> Systemd:
        return Systemd(root=self.root, commands=Commands(environment={**SPEAKING, "PATH": str(self.programs)}))

    def write(self, path: str, text: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def run(self, *argv: str) -> str:
        inside = ("nsenter", "--target", str(self.pid), "--all", *argv)
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout


@cache
def possible() -> Path | None:
    """Return systemd-nspawn if a systemd boots by it here."""
    found = shutil.which("systemd-nspawn")
    if found is None or os.geteuid() != 0 or not Path("/usr/lib/systemd/systemd").exists():
        return None
    try:
        with booted():
            return Path(found)
    except (OSError, RuntimeError) as error:
        print(f"no systemd boots here: {error}", file=sys.stderr)  # noqa: T201 - beside the skip, for who wonders
        return None


@contextlib.contextmanager
def booted(*, seen: Sequence[Path] = (), network: bool = False, options: Sequence[str] = ()) -> Iterator[Machine]:
    """Boot one; it is gone at the end. It sees the directories `seen` too, read-only, and with `network` that of the machine.

    `options` are more of systemd-nspawn.
    """
    with tempfile.TemporaryDirectory(prefix="ordain-systemd-") as made, _control_groups(Path(made).name) as groups:
        directory = Path(made)
        shared, programs = directory / "shared", directory / "programs"
        shared.mkdir()
        programs.mkdir()
        with (directory / "console").open("wb") as console:
            more = [*(f"--bind-ro={path}" for path in seen), *(() if network else ("--private-network",)), *options]
            command = _command(directory.name, shared, groups, more)
            nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            pid = _leader(nspawn, directory / "console")
            for program in PROGRAMS:
                (programs / program).write_text(ENTER.format(pid=pid, program=program))
                (programs / program).chmod(0o755)
            machine = Machine(pid=pid, root=Path(f"/proc/{pid}/root"), programs=programs, shared=shared)
            _wait_until_up(machine)
            yield machine
        finally:
            _end(nspawn)


def _command(name: str, shared: Path, groups: list[Path], more: list[str]) -> list[str]:
    joining = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
    return [
        *("/bin/sh", "-ec", f'{joining}exec "$@"', "sh"),
        *("systemd-nspawn", "--quiet", "--boot", "--directory=/", "--volatile=yes", f"--machine={name.replace('_', '0')}"),
        *("--register=no", "--keep-unit", "--console=pipe", f"--bind={shared}", *more),
        *("systemd.unit=basic.target", "systemd.mask=systemd-firstboot.service"),
    ]


@contextlib.contextmanager
def _control_groups(name: str) -> Iterator[list[Path]]:
    """Make a group of this name in the hierarchies in which systemd keeps its own, and remove them when all in them is gone."""
    tops = [Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
    groups = [top / name for top in tops if (top / "cgroup.procs").exists()]
    for group in groups:
        group.mkdir()
    try:
        yield groups
    finally:
        for group in groups:
            _remove(group)


def _remove(group: Path) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    for place, _, _ in os.walk(group, topdown=False):
        while Path(place).is_dir():
            try:
                Path(place).rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def _leader(nspawn: subprocess.Popen[bytes], console: Path) -> int:
    """Return the first process of the container: the child of nspawn that is called systemd."""
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline and nspawn.poll() is None:
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        time.sleep(0.02)
    message = f"systemd-nspawn did not boot: {console.read_text(errors='replace')[-500:]}"
    raise RuntimeError(message)


def _wait_until_up(machine: Machine) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline:
        asked = machine.systemd.commands.run("systemctl", "is-active", "basic.target")
        if asked.output.strip() == "active":
            return
        time.sleep(0.05)
    message = f"systemd is not up: {asked.output}{asked.errors}"
    raise RuntimeError(message)


def _end(nspawn: subprocess.Popen[bytes]) -> None:
    """Kill the container's first process, and with it all others; nspawn ends by itself then."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
    try:
        nspawn.wait(30)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()
