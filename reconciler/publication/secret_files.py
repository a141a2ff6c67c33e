"""Secrets in files: what unlocks private keys, and what forges sign webhooks with. Each is read from its file when it is needed.

Nothing here keeps what it read, so nothing can print it: settings, logs and error messages know the file's name alone.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from agent.protocol.errors import InputError

LIMIT = 4096
"""Bytes: more than anybody's passphrase, and a key file named by mistake is longer or has several lines."""
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Where systemd puts the credentials of a unit (`LoadCredential=`, `LoadCredentialEncrypted=`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFile:
    """A file with one line that is secret; a `name` without a slash is one of systemd's credentials for this unit."""

    name: str
    purpose: str = "what unlocks the private keys"

    def read(self) -> bytes:
        """Return the line; raise `InputError` where there is none, or more than one."""
        place = self._place()
        try:
            with place.open("rb") as stream:
                data = stream.read(LIMIT + 1)
        except OSError as error:
            message = f"{place}: {error.strerror}; it should hold {self.purpose}"
            raise InputError(message) from error
        line = data.removesuffix(b"\n").removesuffix(b"\r")
        if not line or len(data) > LIMIT or b"\n" in line:
            message = f"{place}: it should hold one line, {self.purpose}, and nothing else"
            raise InputError(message)
        return line

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


def named(*, passphrase_file: str = "", pin_file: str = "") -> KeySecrets:
    """Return the secrets that settings or options name; an empty name is none."""
    return KeySecrets(
        passphrase=SecretFile(name=passphrase_file) if passphrase_file else None, pin=SecretFile(name=pin_file) if pin_file else None
    )
