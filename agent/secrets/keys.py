"""The keys of this host: one that secrets are encrypted to, those of fleets that its owner laid here, and one for digests.

The host's own is an age identity (X25519) that never leaves; its recipient is public. https://age-encryption.org/v1
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.logs import timestamp
from agent.protocol import durable
from agent.protocol.errors import InputError, RefusedError

KEY_LIMIT = 64 * 1024
"""Bytes of a file with age identities."""
DIGEST_BYTES = 32
OTHERS = 0o077
"""What nobody but the owner may have of a file with keys."""
_RECIPIENT = re.compile(r"^# public key: (age1[0-9a-z]{58})$", re.MULTILINE)
_IDENTITY = re.compile(r"^AGE-SECRET-KEY-1[0-9A-Z]{58}$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKeys:
    """The keys in one directory of the agent's state."""

    directory: Path

    @property
    def identity(self) -> Path:
        """The key that secrets for this host are encrypted to, as age-keygen writes one."""
        return self.directory / "host.key"

    def make(self) -> str:
        """Make this host's key unless it is there, and return its recipient; raises `InputError` if the key there is none."""
        import pyrage  # noqa: PLC0415 - megabytes, for hosts with secrets only

        if not self.identity.exists():
            made = pyrage.x25519.Identity.generate()
            durable.make_directory(self.directory, mode=0o700)
            text = f"# created: {timestamp()}\n# public key: {made.to_public()}\n{made}\n"
            durable.create(self.identity, text.encode(), mode=0o600)
        found = self.recipient()
        if not found:
            message = f"{self.identity} is no age identity; move it away, and run this again"
            raise InputError(message)
        return found

    def recipient(self) -> str:
        """Return whom secrets for this host are encrypted to, empty before its key is made."""
        try:
            found = _RECIPIENT.search(self.identity.read_text(errors="replace"))
        except OSError:
            return ""
        return found[1] if found else ""

    def keyed(self, digest: str) -> str:
        """Return a digest of a secret that may be kept and shown: without the key of this host nobody can try values against it."""
        return "keyed:" + hmac.new(self._digest_key(), digest.encode(), hashlib.sha256).hexdigest()

    def _digest_key(self) -> bytes:
        path = self.directory / "digest.key"
        if not path.exists():
            durable.make_directory(self.directory, mode=0o700)
            durable.create(path, secrets.token_bytes(DIGEST_BYTES), mode=0o600)
        return path.read_bytes()


def identities(paths: Sequence[Path]) -> list[str]:
    """Return the age identities in files, in order; those that aren't there are passed over.

    Raises:
        RefusedError: a file that others may read, or that holds no identity.
    """
    found: list[str] = []
    for path in paths:
        if path.exists():
            found += _read(path)
    return found


def _read(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            seen = os.fstat(stream.fileno())
            text = stream.read(KEY_LIMIT).decode(errors="replace")
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise RefusedError(message) from error
    if stat.S_IMODE(seen.st_mode) & OTHERS or seen.st_uid not in (0, os.geteuid()):
        message = f"{path} holds a key, and is not its owner's alone: `chown root {path}; chmod 600 {path}`"
        raise RefusedError(message)
    held = _IDENTITY.findall(text)
    if not held:
        message = f"{path} holds no age identity (AGE-SECRET-KEY-1…)"
        raise RefusedError(message)
    return held
