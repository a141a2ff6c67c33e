"""Which repository, and with whose token: checked before any byte is sent. What is asked over ssh is in `ssh`.

A URL never holds a secret: it ends up in logs, notes and process lists. Tokens are named by reference
(an environment variable or a file), read at each use so that they can be rotated, and sent only to the
host of the URL that they were given for.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

import pygit2
from pygit2.enums import RepositoryOpenFlag

from agent.protocol.errors import InputError, RetryError

TOKEN_LIMIT = 16_384
"""Bytes of a token file: a larger one is the wrong file."""
SSH_PORT = 22
_SCP_LIKE = re.compile(r"(?P<user>[\w.-]+)@(?P<host>[\w.-]+):(?P<path>.*)")
_USER = re.compile(r"[A-Za-z0-9_][\w.-]*")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:-]*")
_SSH_PATH = re.compile(r"[A-Za-z0-9_.~/][\w./~+-]*")
"""No word of these can be read as an option, or as more than one word, by whatever stands at the other end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A repository: on this machine (`path`), over ssh (`user` logs in), or over https. `url` is what git is given."""

    url: str
    path: Path | None = None
    host: str = ""
    user: str = ""
    port: int = SSH_PORT

    def __str__(self) -> str:
        return str(self.path or self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A token by reference: exactly one of `env` (a variable's name) and `file`.

    `username` goes with it; forges that take tokens accept any name.
    """

    env: str | None = None
    file: Path | None = None
    username: str = "git"

    @classmethod
    def parse(cls, reference: str) -> "Credentials":
        """Read `env:NAME` or `file:PATH`; raise `InputError` for anything else (without showing it)."""
        kind, _, rest = reference.partition(":")
        if kind == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
            return cls(env=rest)
        if kind == "file" and rest:
            return cls(file=Path(rest))
        message = "credentials are named by reference: env:NAME (an environment variable) or file:PATH, never given as such"
        raise InputError(message)

    def token(self) -> str:
        """Return the token as it is now.

        Raises:
            RetryError: the variable or the file isn't there, is empty, or is too large to be a token.
        """
        if self.env is not None:
            text, where = os.environ.get(self.env, ""), f"environment variable {self.env}"
        else:
            text, where = _read_token(self.file or Path()), f"file {self.file}"
        if not text.strip():
            message = f"no token: {where} is empty or not there; put the token there"
            raise RetryError(message)
        return text.strip()


def _read_token(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(TOKEN_LIMIT + 1)
        return data.decode() if len(data) <= TOKEN_LIMIT else ""
    except (OSError, UnicodeDecodeError):
        return ""


def locate(repository: str) -> Location:
    """Read a path, a `file://` URL, an `https://` URL, or ssh's `ssh://USER@HOST[:PORT]/PATH` and `USER@HOST:PATH`.

    Raises:
        InputError: another scheme, a password in the URL, or a user name for https; the message shows neither.
    """
    short = _SCP_LIKE.fullmatch(repository)
    if short and not Path(repository).exists():
        return _over_ssh(repository, short["user"], short["host"], SSH_PORT, short["path"])
    if "://" not in repository:
        return _local(Path(repository))
    parts = urlsplit(repository)
    if parts.scheme == "ssh" and parts.password is None:
        return _over_ssh(repository, parts.username or "", parts.hostname or "", _port(parts), parts.path)
    if parts.username is not None or parts.password is not None:
        message = (
            f"the URL of the fleet repository at {parts.hostname} holds a user name or password; "
            "take it out, and name the token by reference (env:NAME or file:PATH)"
        )
        raise InputError(message)
    if parts.scheme == "file" and parts.hostname in (None, "localhost"):
        return _local(Path(unquote(parts.path)))
    if parts.scheme == "https" and parts.hostname:
        return Location(url=repository, host=parts.hostname)
    why = "nothing would tell who answered"
    message = f"fleet repository by {parts.scheme}: not supported ({why}); use an https:// or ssh:// URL, or a local path"
    raise InputError(message)


def _over_ssh(url: str, user: str, host: str, port: int, path: str) -> Location:
    if not (_USER.fullmatch(user) and _HOST.fullmatch(host) and _SSH_PATH.fullmatch(path)):
        message = (
            f"{url!r}: write ssh://USER@HOST/PATH or USER@HOST:PATH, of letters, digits and ._-/~+ (git@git.example.com:acme/fleets.git)"
        )
        raise InputError(message)
    return Location(url=url, host=host, user=user, port=port)


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or SSH_PORT
    except ValueError as error:
        message = f"the port in the URL of the fleet repository at {parts.hostname} is none: {error}"
        raise InputError(message) from error


def git_directories(path: Path) -> tuple[Path, Path]:
    """Return where a local repository keeps its own HEAD, and where its branches are (another place for a linked worktree).

    Raises:
        RetryError: there is no repository (yet) that can be opened.
    """
    try:
        own = Path(pygit2.Repository(str(path), RepositoryOpenFlag.NO_SEARCH).path)
        pointer = own / "commondir"
        shared = (own / pointer.read_text().strip()).resolve() if pointer.is_file() else own
    except (pygit2.GitError, KeyError, OSError, UnicodeDecodeError) as error:
        message = f"{path}: no git repository that can be opened: {error}"
        raise RetryError(message) from error
    return own, shared


def refuse_alternates(location: Location) -> None:
    """Raise `RetryError` for a local repository that borrows objects from another one.

    Who may write the repository could name any other one on this machine that the reconciler can read, and
    have its files compiled into bundles.
    """
    if location.path is None:
        return
    borrowed = git_directories(location.path)[1] / "objects" / "info" / "alternates"
    if borrowed.exists():
        message = f"{location}: borrows objects from another repository ({borrowed}); run `git repack -ad` there and remove that file"
        raise RetryError(message)


def _local(path: Path) -> Location:
    absolute = path.absolute()
    return Location(url="file://" + quote(str(absolute)), path=absolute)
