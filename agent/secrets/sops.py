"""Opening what SOPS encrypted: the data key with age, values with AES-256-GCM, and the check over all of them.

A value is bound to the keys that lead to it (its additional data), so none can be put in another's place; the check is bound to
when the file was changed last, so none can be left out. https://getsops.io/docs/#encryption-protocol
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence

from agent.protocol.errors import RefusedError
from agent.protocol.state import SopsLeaf, SopsSource

KEY_BYTES = 32
ONLY_ENCRYPTED = bytes.fromhex("8a3fd2ad54ce66527b1034f3d147be0b0b975b3bf44f72c6fdadec8176f27d69")
"""With what the check begins where it leaves out what is not encrypted: `MACOnlyEncryptedInitialization` of SOPS."""
_SEALED = re.compile(
    r"ENC\[AES256_GCM,data:(?P<data>[A-Za-z0-9+/=]*),iv:(?P<iv>[A-Za-z0-9+/=]+),tag:(?P<tag>[A-Za-z0-9+/=]+),type:[a-z]+\]"
)

Decrypt = Callable[[bytes], bytes]
"""Returns what an age file holds; raises `RefusedError`."""


def open_source(source: SopsSource, decrypt: Decrypt) -> bytes:
    """Return the value that is meant, once all values of its file passed the check.

    Raises:
        RefusedError: no key here opens it, or something of it was changed.
    """
    key = _data_key(source.keys, decrypt)
    total, wanted = hashlib.sha512(), b""
    if source.mac_only_encrypted:
        total.update(ONLY_ENCRYPTED)
    for number, leaf in enumerate(source.leaves):
        plain, sealed = _opened(leaf, key)
        if sealed or not source.mac_only_encrypted:
            total.update(plain)
        if number == source.wanted:
            wanted = plain
    stated, _ = _unsealed(source.mac, key, source.last_modified)
    if not hmac.compare_digest(total.hexdigest().upper().encode(), stated):
        message = "its check (mac) does not fit its values: somebody changed the file without sops; encrypt it again"
        raise RefusedError(message)
    if not 0 <= source.wanted < len(source.leaves):
        message = "the value that is meant is not in it"
        raise RefusedError(message)
    return wanted


def _data_key(keys: Sequence[str], decrypt: Decrypt) -> bytes:
    why = RefusedError("its data key is encrypted to nobody")
    for sealed in keys:
        try:
            key = decrypt(sealed.encode())
        except RefusedError as error:
            why = error
            continue
        if len(key) == KEY_BYTES:
            return key
    raise why


def _opened(leaf: SopsLeaf, key: bytes) -> tuple[bytes, bool]:
    """Return a value as the check has it, and whether it was encrypted."""
    return _unsealed(leaf.value, key, "".join(f"{step}:" for step in leaf.path))


def _unsealed(text: str, key: bytes, bound: str) -> tuple[bytes, bool]:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - for hosts with secrets only
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    found = _SEALED.fullmatch(text)
    if found is None:
        return text.encode(), False
    try:
        data, nonce, tag = (base64.b64decode(found[part], validate=True) for part in ("data", "iv", "tag"))
        return AESGCM(key).decrypt(nonce, data + tag, bound.encode()), True
    except (InvalidTag, ValueError, binascii.Error) as error:
        message = f"a value of it ({bound.rstrip(':') or 'its check'}) was changed, or moved from another place: encrypt the file again"
        raise RefusedError(message) from error
