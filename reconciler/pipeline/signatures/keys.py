"""Public keys as signers state them, and signatures as git commits carry them: told apart and named, not yet believed.

https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from agent.protocol.errors import MalformedError

Kind = Literal["ssh", "gpg"]
SSH_BEGIN, SSH_END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
GPG_BEGIN = b"-----BEGIN PGP SIGNATURE-----"
NAMESPACE = "git"
"""What git signs commits for; a signature over a file that was made for another purpose is none."""
SIGNATURE_LIMIT = 64 * 1024
"""Bytes of one signature: RSA of 16,384 bits in armour has 3 KB."""
COMMIT_LIMIT = 1024 * 1024
"""Bytes of a commit that is verified: some write books into one, and nobody a megabyte."""
RSA_BYTES = 256
"""Bytes of an RSA modulus: 2,048 bits, below which keys are no longer counted as safe."""
_MAGIC = b"SSHSIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitSignature:
    """The signature of a commit, its armour included, and what it is over."""

    kind: Kind
    armour: bytes
    payload: bytes


def ssh_blob(text: str) -> bytes:
    """Return the key in a line of a `.pub` file, as it goes over the wire.

    Raises:
        MalformedError: it is none, says two types, or is an RSA key under 2,048 bits.
    """
    name, _, rest = text.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ", 1)[0].strip(), validate=True)
        stated, after = _string(blob)
        modulus = _string(_string(after)[1])[0] if name == "ssh-rsa" else b"\0" * (RSA_BYTES + 1)
    except (binascii.Error, ValueError) as error:
        message = f"not an SSH public key: {error}"
        raise MalformedError(message) from error
    if stated != name.encode():
        message = f"not an SSH public key: it says {name[:40]}, and holds another type"
        raise MalformedError(message)
    if len(modulus.lstrip(b"\0")) < RSA_BYTES and name == "ssh-rsa":
        message = "an RSA key of fewer than 2,048 bits can be broken; take ed25519"
        raise MalformedError(message)
    return blob


def fingerprint(blob: bytes) -> str:
    """Return what ssh-keygen -l shows of a key: `SHA256:…`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def ssh_signer(armour: bytes) -> bytes:
    """Return the key that an SSH signature says it was made with, as it goes over the wire.

    Raises:
        MalformedError: it is no SSH signature.
    """
    inner = armour.strip().removeprefix(SSH_BEGIN).removesuffix(SSH_END)
    try:
        raw = base64.b64decode(b"".join(inner.split()), validate=True)
        if not raw.startswith(_MAGIC) or raw[6:10] != b"\0\0\0\1":
            message = "no SSH signature of version 1"
            raise MalformedError(message)
        return _string(raw[10:])[0]
    except (binascii.Error, ValueError) as error:
        message = f"not an SSH signature: {error}"
        raise MalformedError(message) from error


def _string(data: bytes) -> tuple[bytes, bytes]:
    """Return a string with its length before it, and what follows; raise `ValueError` where it is cut short."""
    size = int.from_bytes(data[:4])
    if len(data) < 4 + size:
        message = "it is cut short"
        raise ValueError(message)
    return data[4 : 4 + size], data[4 + size :]


def commit_signature(data: bytes) -> CommitSignature | None:
    """Return the signature in a commit object, None where it has none.

    A commit with two signatures, or with one for another hash, is odd: which of them git would look at depends on its version.

    Raises:
        MalformedError: that, or a signature that is neither SSH's nor OpenPGP's.
    """
    if len(data) > COMMIT_LIMIT:
        message = f"a commit of {len(data)} bytes; those that are verified have at most {COMMIT_LIMIT}"
        raise MalformedError(message)
    header, found, body = data.partition(b"\n\n")
    fields = re.findall(rb"(?:^|\n)((?:gpgsig|gpgsig-sha256) .*(?:\n .*)*)", header)
    if not fields:
        return None
    if len(fields) > 1 or not fields[0].startswith(b"gpgsig "):
        message = "a commit with more than one signature, or one for another hash; sign it once"
        raise MalformedError(message)
    armour = b"\n".join(line.removeprefix(b" ") for line in fields[0].removeprefix(b"gpgsig ").split(b"\n")) + b"\n"
    payload = header.replace(b"\n" + fields[0], b"", 1) + found + body
    return CommitSignature(kind=_kind(armour), armour=armour, payload=payload)


def _kind(armour: bytes) -> Kind:
    if len(armour) > SIGNATURE_LIMIT:
        message = f"a signature of {len(armour)} bytes; none has more than {SIGNATURE_LIMIT}"
        raise MalformedError(message)
    if armour.startswith(SSH_BEGIN):
        return "ssh"
    if armour.startswith(GPG_BEGIN):
        return "gpg"
    message = "a signature that is neither SSH's nor OpenPGP's; sign with one of the two"
    raise MalformedError(message)
