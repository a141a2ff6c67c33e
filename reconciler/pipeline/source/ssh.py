"""A fleet repository over ssh: with which key, and which server is believed to be the one that is meant.

A server is believed by a known_hosts file alone, which an operator filled: never on first use, never by the files of the user that
this process happens to run as. No program is run and no settings of ssh are read: libgit2 speaks for itself. It finds its known_hosts
in a home directory only, so it is given one of ours, with a checked copy.
"""

import base64
import binascii
import hashlib
import hmac
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import Feature

from agent.protocol import durable
from agent.protocol.errors import InputError, RetryError

KNOWN_HOSTS_LIMIT = 1024 * 1024
"""Bytes of a known_hosts file: some 5,000 hosts."""
_HASHED = "|1|"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAccess:
    """Files of an operator: our private key, without a passphrase, and the host keys that are believed."""

    key: Path
    known_hosts: Path

    def keypair(self, user: str) -> pygit2.Keypair:
        """Return what git logs in with; raise `RetryError` for a key that is not there, or that others can read."""
        try:
            mode = self.key.stat().st_mode
        except OSError as error:
            message = f"{self.key}: {error.strerror}; put the private key for the fleet repository there ([source] ssh_key)"
            raise RetryError(message) from error
        if not stat.S_ISREG(mode) or mode & 0o077:
            message = f"{self.key}: others may read this private key; run `chmod 600 {self.key}`, and make another key if somebody did"
            raise RetryError(message)
        return pygit2.Keypair(user, None, str(self.key), "")

    def believe(self, home: Path) -> str:
        """Let libgit2 believe the hosts of `known_hosts` and no others; `home` is a directory of ours. Return the file's text.

        Raises:
            RetryError: it can't be read, or has a line that libgit2 would not heed as it is meant.
        """
        text = self._read()
        for number, line in _lines(text):
            if line.startswith("@"):
                marker = line.split()[0]
                message = f"{self.known_hosts}:{number}: {marker} is not understood; name host keys themselves, and take revoked ones out"
                raise RetryError(message)
        place = home / ".ssh" / "known_hosts"
        if not place.is_file() or place.read_text() != text:
            durable.make_directory(place.parent, mode=0o700)
            durable.replace(place, text.encode(), mode=0o600)
        pygit2.settings.homedir = str(home)
        return text

    def _read(self) -> str:
        try:
            with self.known_hosts.open("rb") as stream:
                data = stream.read(KNOWN_HOSTS_LIMIT + 1)
            text = data.decode()
        except (OSError, UnicodeDecodeError) as error:
            message = f"{self.known_hosts}: {error}; it must hold the host key of the fleet repository's server ([source] ssh_known_hosts)"
            raise RetryError(message) from error
        if len(data) > KNOWN_HOSTS_LIMIT:
            message = f"{self.known_hosts}: more than {KNOWN_HOSTS_LIMIT} bytes; keep the lines of the fleet repository's server alone"
            raise RetryError(message)
        return text


def require_ssh(access: SshAccess | None) -> SshAccess:
    """Return what ssh is spoken with; raise `InputError` where it was not named, or this libgit2 speaks no ssh."""
    if not pygit2.features & Feature.SSH:
        message = "this pygit2 was built without ssh: install its wheel, or use an https:// URL"
        raise InputError(message)
    if access is None:
        message = "fleet repository over ssh: name our private key and the server's host key, [source] ssh_key and ssh_known_hosts"
        raise InputError(message)
    return access


def why_not_believed(access: SshAccess, text: str, host: str, port: int) -> str:
    """Say why a server's host key was refused, and what to do; `text` is the known_hosts file's."""
    named = [number for number, line in _lines(text) if _names(line.split()[0], host, port)]
    if named:
        lines = ", ".join(str(number) for number in named)
        return (
            f"shows another host key than {access.known_hosts} has for it (line {lines}): its key was changed, or somebody stands between; "
            "nothing is fetched until the line is right. Ask whoever runs the server for its new key"
        )
    scan = f"ssh-keyscan -p {port} {host}"
    return f"its host key is not in {access.known_hosts}; run `{scan}`, compare with what its owner publishes, and add the line"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _names(field: str, host: str, port: int) -> bool:
    """Return whether the first field of a line means a host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    wanted = {host, f"[{host}]:{port}"}
    return any(_hashes(name, wanted) if name.startswith(_HASHED) else name in wanted for name in field.split(","))


def _hashes(field: str, wanted: set[str]) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in field.removeprefix(_HASHED).split("|"))
    except (ValueError, binascii.Error):
        return False
    return any(hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest) for name in wanted)
