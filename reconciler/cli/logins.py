"""Where `ordain login` keeps what it got: one file of the person's own, `~/.config/ordain/logins.json`, readable for nobody else."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.protocol import durable
from agent.protocol.errors import InputError
from agent.protocol.state import Struct

LIMIT = 1024 * 1024
"""Bytes of the file: some hundred servers."""
_FOREIGN = 0o077


class Login(Struct):
    """A sign-in at a server: the bearer token, until when it counts (RFC 3339), whose it is, and the roots that the server is known by."""

    token: str
    expires: str
    subject: str
    authority: str = ""


class Logins(Struct):
    """All of a person's sign-ins by the server's URL; `current` is the one that is meant where none is named."""

    current: str = ""
    servers: dict[str, Login] = {}


def place(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file: below `$XDG_CONFIG_HOME`, else `~/.config`."""
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home()) / ".config"
    return Path(home) / "ordain" / "logins.json"


def read(file: Path) -> Logins:
    """Return what the file holds, nothing where there is none; raise `InputError` where others can read it, or it is damaged."""
    try:
        if file.stat().st_mode & _FOREIGN:
            message = f"{file}: others can read it, and it holds tokens; run chmod 600 {file}, and sign in again if others may have"
            raise InputError(message)
        data = file.read_bytes()
    except FileNotFoundError:
        return Logins()
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise InputError(message) from error
    try:
        return msgspec.json.decode(data[:LIMIT], type=Logins)
    except (msgspec.MsgspecError, UnicodeError) as error:
        message = f"{file}: {error}; remove it and sign in again"
        raise InputError(message) from error


def write(file: Path, logins: Logins) -> None:
    """Put the file in place, whole, for its owner alone."""
    durable.make_directory(file.parent, mode=0o700)
    durable.replace(file, msgspec.json.encode(logins), mode=0o600)
