"""Five people with keys that are always the same, so that the commits which they sign have the same ids on any machine.

Signatures are made here and not by ssh-keygen: two hundred processes would take longer than all else. ssh-keygen verifies them.
https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
"""

import base64
import hashlib
from dataclasses import dataclass
from textwrap import fill

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAGIC, NAMESPACE, HASH = b"SSHSIG", b"git", b"sha512"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who commits; `key` names which of their keys they sign with."""

    name: str
    title: str
    key: str = "first"

    @property
    def email(self) -> str:
        """Their address."""
        return f"{self.name}@example.com"

    @property
    def public(self) -> str:
        """The line of their `.pub` file."""
        return self._private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + f" {self.email}"

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"a key of the tests: {self.name} {self.key}".encode()).digest())

    def sign(self, payload: bytes) -> str:
        """Return a signature of a commit in armour, as `gpg.format=ssh` has git make it."""
        about = _string(NAMESPACE) + _string(b"") + _string(HASH)
        made = self._private.sign(MAGIC + about + _string(hashlib.sha512(payload).digest()))
        key = base64.b64decode(self.public.split()[1])
        whole = MAGIC + b"\0\0\0\1" + _string(key) + about + _string(_string(b"ssh-ed25519") + _string(made))
        return f"-----BEGIN SSH SIGNATURE-----\n{fill(base64.b64encode(whole).decode(), 70)}\n-----END SSH SIGNATURE-----"


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


ANA = Person("ana", "Ana Platform")
BEN = Person("ben", "Ben Platform")
CLEO = Person("cleo", "Cleo Shop")
DAN = Person("dan", "Dan Edge")
EVE = Person("eve", "Eve Games")
DAN_NEW = Person("dan", "Dan Edge", key="second")
"""Dan, since his laptop was stolen."""
