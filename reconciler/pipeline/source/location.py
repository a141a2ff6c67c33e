"""Which repository, and with whose token: checked before any byte is sent.

A URL never holds a secret: it ends up in logs, notes and process lists. Tokens are named by reference
(an environment variable or a file), read at each use so that they can be rotated, and sent only to the
host of the URL that they were given for.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pygit2
from pygit2.enums import RepositoryOpenFlag

from agent.protocol.errors import InputError, RetryError

TOKEN_LIMIT = 16_384
"""Bytes of a token file: a larger one is the wrong file."""
_SCP_LIKE = re.compile(r"[\w.-]+@[\w.-]+:.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A repository: on this machine (`path`), or over https (`path` is None). `url` is what git is given."""

    url: str
    path: Path | None = None
    host: str = ""

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
            message = f"no token for the fleet repository: {where} is empty or not there; put the token there"
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
    """Read a path, a `file://` URL or an `https://` URL.

    Raises:
        InputError: another scheme, or a user name or password in the URL; the message shows neither.
    """
    if _SCP_LIKE.fullmatch(repository) and not Path(repository).exists():
        message = "fleet repository over ssh: not supported yet; use an https:// URL or a local path"
        raise InputError(message)
    if "://" not in repository:
        return _local(Path(repository))
    parts = urlsplit(repository)
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
    why = "yet" if parts.scheme == "ssh" else "(nothing would tell who answered)"
    message = f"fleet repository by {parts.scheme}: not supported {why}; use an https:// URL or a local path"
    raise InputError(message)


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
