"""Secrets in files: what unlocks private keys, and what forges sign webhooks with. Each is read from its file when it is needed.

Nothing here keeps what it read, so nothing can print it: settings, logs and error messages know the file's name alone.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from agent.protocol.errors import InputError

LIMIT = 4096
"""Bytes: more than anybody's passphrase, and a key file named by mistake is longer or has several lines."""
VARIABLES_LIMIT = 16_384
"""Bytes of a file of variables: a cloud's session token takes two thousand."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Where systemd puts the credentials of a unit (`LoadCredential=`, `LoadCredentialEncrypted=`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFile:
    """A file with one line that is secret; a `name` without a slash is one of systemd's credentials for this unit."""

    name: str
    purpose: str = "what unlocks the private keys"

    def read(self) -> bytes:
        """Return the line; raise `InputError` where there is none, or more than one."""
        place, data = self._read(LIMIT)
        line = data.removesuffix(b"\n").removesuffix(b"\r")
        if not line or len(data) > LIMIT or b"\n" in line:
            message = f"{place}: it should hold one line, {self.purpose}, and nothing else"
            raise InputError(message)
        return line

    def variables(self) -> dict[str, str]:
        """Return what lines `NAME=value` say, as in a unit's `EnvironmentFile=`; empty ones and comments are passed over.

        Raises:
            InputError: it can't be read, or another line stands in it: which one is said, and not what it holds.
        """
        place, data = self._read(VARIABLES_LIMIT)
        found: dict[str, str] = {}
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals or not NAME.fullmatch(name.strip()) or len(data) > VARIABLES_LIMIT:
                message = f"{place}:{number}: it should hold {self.purpose} as lines NAME=value, and nothing else"
                raise InputError(message)
            found[name.strip()] = value.strip().strip("\"'")
        return found

    def _read(self, limit: int) -> tuple[Path, bytes]:
        """Return where it is and up to a byte more than `limit` of it."""
        place = self._place()
        try:
            with place.open("rb") as stream:
                return place, stream.read(limit + 1)
        except OSError as error:
            message = f"{place}: {error.strerror}; it should hold {self.purpose}"
            raise InputError(message) from error

    def _place(self) -> Path:
        if "/" in self.name:
            return Path(self.name)
        directory = os.environ.get(CREDENTIALS)
        if not directory:
            if Path(self.name).is_file():
                message = f"{self.name!r} names a systemd credential; write ./{self.name} for the file in the working directory"
                raise InputError(message)
            message = (
                f"{self.name!r} is a systemd credential, and this process was given none ({CREDENTIALS} is not set): "
                "add LoadCredential= to its unit, or name a file by its path"
            )
            raise InputError(message)
        return Path(directory) / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySecrets:
    """What a key ring needs beside its keys; none for key files in plain text."""

    passphrase: SecretFile | None = None
    pin: SecretFile | None = None

    def require_readable(self) -> None:
        """Raise `InputError` where one is named that can't be read: keys that come later could not be unlocked."""
        for secret in (self.passphrase, self.pin):
            if secret is not None:
                secret.read()


def named(*, passphrase_file: str = "", pin_file: str = "") -> KeySecrets:
    """Return the secrets that settings or options name; an empty name is none."""
    return KeySecrets(
        passphrase=SecretFile(name=passphrase_file) if passphrase_file else None, pin=SecretFile(name=pin_file) if pin_file else None
    )
