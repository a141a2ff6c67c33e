"""One managed path: what should stand there, and how that differs from what does.

An owner that a manifest leaves out is the agent's own user, a mode that it leaves out is the provider's default: the
result depends on the release and never on what was there before.
"""

import grp
import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent.archives.entries import Form
from agent.host import Host, Observed
from agent.protocol.errors import RefusedError
from agent.protocol.state import ArtifactSource

OCTAL = re.compile(r"0?[0-7]{3,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What should stand at `path`."""

    path: str
    provider: Literal["files", "artifacts"]
    kind: Literal["file", "directory", "tree", "symlink", "absent"]
    """A tree is an unpacked artifact: a directory whose content is the release's as a whole."""
    mode: int = 0
    uid: int | None = None
    """None where it can't be set here and is left alone."""
    gid: int | None = None
    content: bytes | None = None
    source: ArtifactSource | None = None
    unpack: Form | None = None
    limit: int | None = None
    """Bytes that the files of a tree may have together; None where the release doesn't say."""
    digest: str | None = None
    """SHA-256 of the content of a file or of the listing of a tree; None where the tree was never unpacked here."""
    target: str = ""
    sealed: str | None = None
    """Keyed digest of a content with secrets: what is kept and shown in the place of `digest`, by which a value could be guessed."""
    check: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def shown_digest(self) -> str | None:
        """By what its content may be known outside of this process."""
        return self.digest if self.sealed is None else self.sealed

    @property
    def owner(self) -> tuple[int | None, int | None]:
        """User and group."""
        return self.uid, self.gid


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """Who is unknown on a host and will not be for long: users and groups that a release makes before it writes files."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    anybody: bool = False
    """Whether packages come, which may make any."""

    def covers(self, what: Literal["owner", "group"], name: str | None) -> bool:
        """Return whether this user or group may be about to come."""
        return name is not None and (self.anybody or name in (self.users if what == "owner" else self.groups))


NOBODY = Coming()


def differences(item: Item, seen: Observed) -> tuple[str, ...]:
    """Return in what `seen` differs from `item`: "missing", "present", "type", "content", "target", "mode", "owner"."""
    if item.kind == "absent":
        return () if seen.kind == "absent" else ("present",)
    if seen.kind != item.kind:
        return ("missing",) if seen.kind == "absent" else ("type",)
    return tuple(_details(item, seen))


def _details(item: Item, seen: Observed) -> Iterator[str]:
    if item.kind in ("file", "tree") and (item.digest is None or item.digest != seen.digest):
        yield "content"
    if item.kind == "symlink" and item.target != seen.target:
        yield "target"
    if item.kind != "symlink" and item.mode != seen.mode:
        yield "mode"
    if (item.uid is not None and item.uid != seen.uid) or (item.gid is not None and item.gid != seen.gid):
        yield "owner"


def resolve_mode(path: str, mode: str | None, default: int) -> int:
    """Return a mode such as "0640" as a number; raise `RefusedError` for anything else."""
    if mode is None:
        return default
    if not OCTAL.fullmatch(mode):
        message = f"{path}: mode {mode!r} is not octal"
        raise RefusedError(message)
    return int(mode, 8)


def resolve_owner(
    host: Host, path: str, owner: str | None, group: str | None, coming: Coming = NOBODY
) -> tuple[int | None, int | None, tuple[str, ...]]:
    """Return user and group of `path` as numbers, and warnings.

    Under `--root` an owner that is unknown here, or that this user may not set, is left alone with a warning; on the
    whole machine it refuses the release, since a file with another owner than policy approved is not that release. Who is
    `coming` is not known yet either, and refuses nothing.

    Raises:
        RefusedError: an unknown owner, or one that only root can set.
    """
    uid, uid_warning = _identity(host, path, "owner", owner, coming)
    gid, gid_warning = _identity(host, path, "group", group, coming)
    return uid, gid, tuple(warning for warning in (uid_warning, gid_warning) if warning)


def _identity(host: Host, path: str, what: Literal["owner", "group"], name: str | None, coming: Coming) -> tuple[int | None, str]:
    own = os.geteuid() if what == "owner" else os.getegid()
    if name is None:
        return own, ""
    number = _lookup(what, name)
    settable = os.geteuid() == 0 or number == own or (what == "group" and number in os.getgroups())
    if number is not None and settable:
        return number, ""
    why = f"{path}: {what} {name}: " + ("unknown on this host" if number is None else "only root can set it")
    if number is None and coming.covers(what, name):
        return None, ""
    if host.is_whole_machine:
        raise RefusedError(why)
    return None, f"{why}; not set under --root"


def _lookup(what: Literal["owner", "group"], name: str) -> int | None:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if what == "owner" else grp.getgrnam(name).gr_gid
    except KeyError:
        return None
