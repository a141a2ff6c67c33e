"""One entry of an archive, and what all of them together must keep to before anything of them is written.

Names are relative and normal, valid UTF-8 without control characters, and told apart without looking at case: what is
reviewed on one machine must be what lands on another. Nothing lies below a link, and no link leads out.
"""

import unicodedata
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent.protocol.errors import MalformedError

Form = Literal["tar.gz", "tar.zst", "zip"]
Kind = Literal["file", "directory", "symlink", "hardlink"]

ENTRIES_LIMIT = 65_535
"""Files, directories and links: as many as a zip file has, some times those of a large runtime. Each costs an inode on every host."""
BYTES_LIMIT = 4 * 1024 * 1024 * 1024
"""Bytes of all files together where the release states no `unpackedSize`, however large the archive is."""
RATIO_LIMIT = 32
"""Bytes that one byte of such an archive may become: programs become two to five, logs and tables up to twenty, bombs a thousand."""
BYTES_FREE = 64 * 1024 * 1024
"""Bytes that any archive may unpack to, whatever its ratio: small ones that are all text or zeros hurt no host."""
PATH_LIMIT = 1024
"""Bytes of a name with its directories: a quarter of what the kernel takes, since it lies below another path."""
NAME_LIMIT = 255
"""Bytes of one part of a name: what file systems take."""
DEPTH_LIMIT = 48
"""Directories within directories; each is an open file while the tree is walked."""
LINKS_LIMIT = 40
"""Links followed in one path: the kernel's own bound."""
STEPS_LIMIT = 5_000_000
"""Steps taken to see where all links lead: a second's work, where all the links of an honest archive take a tenth."""
_CONTROL = frozenset({*range(0x20), 0x7F})
_NOT_NORMAL = frozenset({"", ".", ".."})


class ArchiveError(MalformedError):
    """An archive that is not unpacked: damaged, too large, or with something in it that must not reach a host."""


class TooLargeError(ArchiveError):
    """An archive whose files have more bytes than they may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: `path` is relative and normal, `target` is where a link leads, `size` the bytes of a file."""

    path: str
    kind: Kind
    executable: bool = False
    target: str = ""
    size: int = 0


def default_limit(packed: int) -> int:
    """Return the bytes that an archive of `packed` bytes may unpack to where nobody states it."""
    return min(BYTES_LIMIT, max(BYTES_FREE, RATIO_LIMIT * packed))


def plain_name(raw: bytes, *, directory: bool = False) -> str:
    """Return an entry's name as a relative, normal path; "" is the archive's own top.

    A leading `./` and, of a directory, a trailing `/` are taken off: tar writes them as a rule.

    Raises:
        ArchiveError: any other name.
    """
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        message = f"the name {_shown(raw)} is not UTF-8"
        raise ArchiveError(message) from error
    while name.startswith("./"):
        name = name[2:]
    if directory:
        name = name.removesuffix("/")
    if name in ("", ".") and directory:
        return ""
    parts = name.split("/")
    if not _NOT_NORMAL.isdisjoint(parts):
        message = f"the name {_shown(raw)} is absolute or not normal: it could lie outside the directory"
        raise ArchiveError(message)
    if not _CONTROL.isdisjoint(raw):
        message = f"the name {_shown(raw)} has control characters"
        raise ArchiveError(message)
    if len(raw) > PATH_LIMIT or len(parts) > DEPTH_LIMIT or (len(raw) > NAME_LIMIT and _widest(parts) > NAME_LIMIT):
        bounds = f"{PATH_LIMIT} bytes, deeper than {DEPTH_LIMIT}, or has a part over {NAME_LIMIT} bytes"
        message = f"the name {_shown(raw)}… is longer than {bounds}"
        raise ArchiveError(message)
    return name


def _shown(raw: bytes) -> str:
    return repr(raw[:80])[1:]


def _widest(parts: list[str]) -> int:
    return max(len(part.encode()) for part in parts)


class Catalogue:
    """All entries so far. `admit` is asked before an entry is written, `require_links_inside` after the last one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._kinds: dict[str, Kind] = {}
        self._implied: set[str] = set()
        self._folded: dict[str, str] = {}
        self._targets: dict[str, str] = {}
        self._steps_taken = 0

    def admit(self, entry: Entry) -> list[str]:
        """Take an entry in, and return the directories above it that no entry has named, outermost first.

        Raises:
            ArchiveError: one entry too many, a name that is there already, or below what is no directory.
        """
        self._bytes += entry.size
        if self._bytes > self._limit:
            message = f"its files have more than {self._limit} bytes; state `unpackedSize` if that is right"
            raise TooLargeError(message)
        made = list(self._make_parents(entry.path))
        if entry.path in self._implied and entry.kind == "directory":
            self._implied.discard(entry.path)
            return made
        self._add(entry.path, entry.kind)
        if entry.kind == "hardlink" and self._kinds.get(entry.target) not in ("file", "hardlink"):
            message = f"{entry.path!r} is a second name of {entry.target!r}, which is no file before it in the archive"
            raise ArchiveError(message)
        if entry.kind == "symlink":
            self._targets[entry.path] = entry.target
        return made

    def knows(self, path: str) -> bool:
        """Return whether an entry, or one below it, has named this path."""
        return path in self._kinds

    def require_links_inside(self) -> None:
        """Raise `ArchiveError` if a symbolic link, followed through the others, leads out of the directory or nowhere for ever."""
        for path in self._targets:
            self._follow(path)

    def _make_parents(self, path: str) -> Iterator[str]:
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            above = "/".join(parts[:count])
            kind = self._kinds.get(above)
            if kind is None:
                self._add(above, "directory")
                self._implied.add(above)
                yield above
            elif kind != "directory":
                message = f"{path!r} lies below {above!r}, which is a {kind}"
                raise ArchiveError(message)

    def _add(self, path: str, kind: Kind) -> None:
        if len(self._kinds) >= ENTRIES_LIMIT:
            message = f"more than {ENTRIES_LIMIT} entries"
            raise ArchiveError(message)
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
        other = self._folded.setdefault(folded, path)
        if path in self._kinds or other != path:
            how = "stands in it twice" if other == path else f"and {other!r} are one name where case does not count"
            message = f"{path!r} {how}"
            raise ArchiveError(message)
        self._kinds[path] = kind

    def _follow(self, link: str) -> None:
        """Walk where a link leads, as the kernel would, among the entries. It may lead to nothing, but not out."""
        here: list[str] = link.split("/")[:-1]
        pending = deque(self._steps(link))
        followed = 1
        while pending:
            part = pending.popleft()
            if part == ".." and not here:
                message = f"the link {link!r} leads out of the directory, to {self._targets[link][:200]!r}"
                raise ArchiveError(message)
            if part == "..":
                here.pop()
            elif part not in ("", "."):
                here.append(part)
            place = "/".join(here)
            if place in self._targets and part not in ("", ".", ".."):
                here.pop()
                pending.extendleft(reversed(self._steps(place)))
                followed += 1
            self._steps_taken += 1
            if followed > LINKS_LIMIT or self._steps_taken > STEPS_LIMIT:
                message = f"the link {link!r} leads through too many others"
                raise ArchiveError(message)

    def _steps(self, link: str) -> list[str]:
        target = self._targets[link]
        too_long = len(target.encode(errors="surrogateescape")) > PATH_LIMIT
        if not target or target.startswith("/") or too_long or not _CONTROL.isdisjoint(target.encode(errors="surrogateescape")):
            message = f"the link {link!r} leads to {target[:200]!r}, which is empty, absolute, too long or has control characters"
            raise ArchiveError(message)
        return target.split("/")


def target_text(raw: bytes) -> str:
    """Return where a symbolic link leads as text; whether it may is the catalogue's to say."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        message = f"a link leads to {raw[:80]!r}, which is not UTF-8"
        raise ArchiveError(message) from error
