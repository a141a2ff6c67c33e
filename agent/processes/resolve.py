"""From a process of a release to what is started on this host: who runs it, where its paths lie, what can be kept here.

Below a root other than `/`, every word of a command that is a path which exists below that root means that one, as do
working directory, read-only and private paths: a state can be tried out in a directory. A user that can't be set there is
left out with a note, as with files.
"""

import os
import pwd
import resource
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.commands import ENVIRONMENT
from agent.host import Host
from agent.processes import cgroups, kin
from agent.processes.policy import rules_of
from agent.protocol import duration
from agent.protocol.errors import RefusedError
from agent.protocol.state import Process
from agent.providers.item import resolve_owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who runs a process; None where the agent's own is left as it is."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """All that is needed to start a process."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    account: Account
    limits: tuple[tuple[int, int, str], ...]
    """Limits of the kernel's old kind (rlimits): number, most, and what is limited in words."""
    read_only: tuple[str, ...]
    private: tuple[str, ...]
    no_new_privileges: bool
    notes: tuple[str, ...]


def resolve(process: Process, *, host: Host, marker: str, controllers: Collection[str]) -> Launch:
    """Return how to start a process here; `controllers` are those of cgroup v2 that can limit it.

    Raises:
        RefusedError: an unknown user or group, or one that only root can set; a limit or a duration that is none.
    """
    rules_of(process)
    duration.seconds(process.stop_timeout)
    signal.Signals[process.stop_signal]
    account = account_of(process, host)
    limits, notes = _limits(process, account, controllers)
    return Launch(
        command=tuple(inside(host, word) for word in process.command),
        environment={**_environment(account), **process.environment, kin.VARIABLE: marker},
        directory=inside(host, process.working_directory or "/"),
        account=account,
        limits=limits,
        read_only=tuple(inside(host, path) for path in process.read_only_paths),
        private=tuple(inside(host, path) for path in process.private_paths),
        no_new_privileges=process.no_new_privileges,
        notes=(*account.notes, *notes),
    )


def inside(host: Host, word: str) -> str:
    """Return where a path lies on the machine: below the host's root if it exists there, else as it is."""
    if host.is_whole_machine or not word.startswith("/"):
        return word
    if word == "/":
        return str(host.root)
    try:
        is_there = host.observe(word).kind != "absent"
    except RefusedError:
        return word  # no plain path, or one that leads out of the root
    return str(host.outside(word)) if is_there else word


def account_of(process: Process, host: Host) -> Account:
    """Return who runs a process; raise `RefusedError` if that is unknown, or can't be set, and the host is a whole machine."""
    what = f"process {process.name}"
    uid, gid, notes = resolve_owner(host, what, process.user, process.group)
    if process.user is None:
        return Account(gid=None if process.group is None else gid, notes=notes)
    if uid is None:
        return Account(notes=notes)
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        if process.group is None:
            message = f"{what}: user {process.user} has no entry in the host's list of users, so its group must be given too"
            raise RefusedError(message) from None
        return Account(uid=uid, gid=gid, groups=() if os.geteuid() == 0 else None, notes=notes)
    group = entry.pw_gid if process.group is None else gid
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid if group is None else group)) if os.geteuid() == 0 else None
    return Account(uid=uid, gid=group, groups=groups, notes=notes)


def _environment(account: Account) -> dict[str, str]:
    uid = os.geteuid() if account.uid is None else account.uid
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return {"PATH": ENVIRONMENT["PATH"], "HOME": "/", "USER": str(uid), "LOGNAME": str(uid)}
    return {"PATH": ENVIRONMENT["PATH"], "HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}


def _limits(process: Process, account: Account, controllers: Collection[str]) -> tuple[tuple[tuple[int, int, str], ...], tuple[str, ...]]:
    """Return the rlimits, and notes about what can't be kept.

    A limit of address space is no limit of memory: Go and Java reserve far more than they use. The kernel's old limit of
    processes counts all of a user's, so it is used only for a user other than root and the agent's own.
    """
    wanted, found = process.limits, []
    notes = cgroups.notes(wanted, controllers)
    if wanted.open_files:
        found.append((resource.RLIMIT_NOFILE, wanted.open_files, f"of open files, {wanted.open_files}"))
    if wanted.processes and "pids" not in controllers and account.uid not in (None, 0, os.geteuid()):
        found.append((resource.RLIMIT_NPROC, wanted.processes, f"of processes, {wanted.processes}"))
        counts = f"the limit of processes, {wanted.processes}, counts all that user {process.user} runs: there is no pids controller here"
        notes = (*cgroups.notes(wanted, {*controllers, "pids"}), counts)
    return tuple(found), notes
