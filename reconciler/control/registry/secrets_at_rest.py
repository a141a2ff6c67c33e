"""Secrets that we made, 32 random bytes each: kept as their SHA-256, compared in constant time.

So much randomness can't be guessed from its hash, so it needs no slow one.
"""

import base64
import hmac
import secrets
from hashlib import sha256

from agent.protocol.enrolment import SECRET_BYTES

_NONE = "0" * 64


def make() -> str:
    """Return a new secret: 43 characters of base64url."""
    return base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")


def make_id() -> str:
    """Return a new id for one: 16 hexadecimal digits, not secret."""
    return secrets.token_hex(8)


def hashed(secret: str) -> str:
    """Return what is kept of a secret."""
    return sha256(secret.encode()).hexdigest()


def matches(secret: str, kept: str | None) -> bool:
    """Return whether this is the secret that `kept` is the hash of; takes as long where there is none (`kept` None)."""
    same = hmac.compare_digest(hashed(secret), kept or _NONE)
    return same and kept is not None
