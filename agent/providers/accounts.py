"""Who is on a host: its users and groups, and as whom its processes run.

On the whole machine the system is asked, so users that a directory service brings count as there; under a root its files are
read, and the programs of `shadow` work in it by their `--root` (their `--prefix` looks up groups on the machine instead).
"""

import contextlib
import grp
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import RefusedError, RetryError
from agent.providers import texts

T = TypeVar("T")
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?")
"""What useradd takes as a name, and no option of it."""
WAIT_FOR_LOCK = "cannot lock"
"""What programs of shadow say while another one changes /etc/passwd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user as it is; `groups` are those that list it, beside its own."""

    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """All users and groups; `gids` is group → its number."""

    users: Mapping[str, Account]
    gids: Mapping[str, int]

    def group_of(self, user: Account) -> str:
        """Return the name of a user's own group, its number where it has none."""
        return next((name for name, gid in self.gids.items() if gid == user.gid), str(user.gid))


def look(host: Host, names: Iterable[str] = ()) -> Accounts:
    """Return the host's users and groups; `names` are asked for one by one too, since a directory service may not list all.

    Raises:
        RefusedError: under a root, its passwd or group file is no file, or has a line that can't be read.
    """
    if host.is_whole_machine:
        listed = {one.gr_name: one for one in [*_each(grp.getgrnam, names), *grp.getgrall()]}
        groups = [(one.gr_name, one.gr_gid, one.gr_mem) for one in listed.values()]
        known = {one.pw_name: one for one in [*_each(pwd.getpwnam, names), *pwd.getpwall()]}
        people = [(one.pw_name, one.pw_uid, one.pw_gid, one.pw_gecos, one.pw_dir, one.pw_shell) for one in known.values()]
    else:
        groups = [(line[0], int(line[2]), [name for name in line[3].split(",") if name]) for line in _table(host, "/etc/group", 4)]
        people = [(line[0], int(line[2]), int(line[3]), line[4], line[5], line[6]) for line in _table(host, "/etc/passwd", 7)]
    members: dict[str, set[str]] = {}
    for group, _, inside in groups:
        for name in inside:
            members.setdefault(name, set()).add(group)
    users = {
        name: Account(name=name, uid=uid, gid=gid, comment=gecos, home=home, shell=shell, groups=frozenset(members.get(name, ())))
        for name, uid, gid, gecos, home, shell in people
    }
    return Accounts(users=users, gids={name: gid for name, gid, _ in groups})


def _each(find: Callable[[str], T], names: Iterable[str]) -> Iterator[T]:
    for name in names:
        with contextlib.suppress(KeyError):
            yield find(name)


def _table(host: Host, path: str, fields: int) -> list[list[str]]:
    content, _ = texts.read(host, path)
    rows = []
    for number, line in enumerate((content or b"").decode(errors="replace").splitlines(), start=1):
        row = line.split(":")
        if len(row) != fields or not row[2].isdigit() or (path == "/etc/passwd" and not row[3].isdigit()):
            message = f"{path}:{number}: not a line of {fields} fields with numbers where they belong; mend it first"
            raise RefusedError(message)
        rows.append(row)
    return rows


def running(host: Host, *, uid: int | None = None, gid: int | None = None) -> str:
    """Return which process runs as that user or group, as `1234 (nginx)`; empty where none does, or for a root of files."""
    if not host.is_whole_machine:
        return ""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "status").read_text(errors="replace")
        except OSError:  # it has just ended
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if str(uid) in fields.get("Uid", "").split() or str(gid) in fields.get("Gid", "").split():
            return f"{entry.name} ({fields.get('Name', '?')})"
    return ""


def require_name(name: str, what: str) -> str:
    """Return a user's or group's name; raise `RefusedError` for one that useradd would not take, or take for an option."""
    if not NAME.fullmatch(name):
        message = f"{what} {name[:80]!r}: a name has a-z, 0-9, _ and -, begins with a letter or _, and at most 32 characters"
        raise RefusedError(message)
    return name


def change(host: Host, run: Commands, program: str, *arguments: str) -> None:
    """Run one of useradd, usermod, userdel, groupadd, groupmod, groupdel; the last argument is the name.

    Raises:
        RetryError: another one holds the lock on /etc/passwd.
        RefusedError: it says no, or the host has no such program.
    """
    inside = () if host.is_whole_machine else ("--root", str(host.root))
    *options, name = arguments
    ended = run.run(program, *inside, *options, "--", name)
    if ended.code == 0:
        return
    if WAIT_FOR_LOCK in ended.said:
        message = f"{ended.failure}; somebody else changes users at this moment, it is tried again"
        raise RetryError(message)
    raise RefusedError(ended.failure)
