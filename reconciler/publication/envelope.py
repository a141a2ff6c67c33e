"""Signed files that are not TUF metadata (controls, accepted state, decisions): DSSE envelopes.

The payload type is signed with the payload, so one kind of file can't stand in for another signed by the same key.
https://github.com/secure-systems-lab/dsse/blob/v1.0.2/envelope.md
"""

import json
from collections.abc import Sequence

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key, Signer

from agent.protocol import codec
from agent.protocol.errors import MalformedError, OrdainError, RefusedError, RetryError

ENVELOPE_LIMIT = 64 * 1024 * 1024
"""Bytes: controls of 100,000 agents take about 20 MB, base64 a third more."""
SIGNATURES_LIMIT = 16
"""Signatures in one envelope: far more than any threshold here, few enough to check them all."""


def sign(payload: bytes, payload_type: str, signers: Sequence[Signer]) -> bytes:
    """Return the envelope of a payload, signed by all `signers`; raise `RetryError` if a key can't be used now."""
    envelope = Envelope(payload, payload_type, {})
    for signer in signers:
        try:
            envelope.sign(signer)
        except OrdainError:
            raise
        except Exception as error:  # tokens and key services raise errors of their own, of no common family
            message = f"{payload_type} can't be signed: {type(error).__name__} {error}; see to the key's place, then it goes on by itself"
            raise RetryError(message) from error
    return codec.canonical(envelope.to_dict())


def verify(data: bytes, payload_type: str, keys: Sequence[Key], *, threshold: int = 1, what: str = "envelope") -> bytes:
    """Return the payload of an envelope that enough of `keys` signed as `payload_type`.

    Raises:
        MalformedError: too large, or not an envelope.
        RefusedError: another type, or not signed by these keys.
    """
    envelope = _read(data, what)
    if envelope.payload_type != payload_type:
        message = f"{what}: it is signed as {envelope.payload_type[:80]!r}, not as {payload_type!r}"
        raise RefusedError(message)
    try:
        envelope.verify(list(keys), threshold)
    except (VerificationError, ValueError) as error:
        message = f"{what}: not signed by {threshold} of the {len(keys)} keys that may sign it; see which key ring wrote it"
        raise RefusedError(message) from error
    return envelope.payload


def is_signed_by(data: bytes, key: Key, *, what: str = "envelope") -> bool:
    """Return whether this key signed an envelope; raise `MalformedError` if it is none."""
    envelope = _read(data, what)
    try:
        envelope.verify([key], 1)
    except (VerificationError, ValueError):
        return False
    return True


def _read(data: bytes, what: str) -> Envelope:
    if len(data) > ENVELOPE_LIMIT:
        message = f"{what}: {len(data)} bytes, more than {ENVELOPE_LIMIT}"
        raise MalformedError(message)
    try:
        envelope = Envelope.from_dict(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"{what}: not a DSSE envelope ({type(error).__name__})"
        raise MalformedError(message) from error
    stated: list[object] = [envelope.payload_type]  # the library's annotations promise texts, its parser takes anything
    for signature in envelope.signatures.values():
        stated += [signature.keyid, signature.signature]
    if not all(isinstance(text, str) for text in stated) or len(envelope.signatures) > SIGNATURES_LIMIT:
        message = f"{what}: not a DSSE envelope (its type or its signatures)"
        raise MalformedError(message)
    return envelope
