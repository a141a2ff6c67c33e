"""Reading and writing of wire documents: one byte string for one value, and no leniency.

Every wire document is canonical JSON: UTF-8, keys sorted, no white space, integers and no floats.
A document that would not be written byte for byte as it was read is refused, which also refuses
duplicate keys, NaN, padding and other spellings of the same value. Fields that a type does not
name are refused by the types themselves (`forbid_unknown_fields`).
"""

import hashlib
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from agent.protocol.errors import MalformedError

DOCUMENT_LIMIT = 5_000_000
"""Bytes of one wire document: as much as python-tuf and go-tuf read of one role's metadata."""

T = TypeVar("T")


def _refuse_floats(value: object) -> None:
    """Raise `TypeError` for a float at any depth; called once for each list and mapping, not for each value."""
    pending = [value] if isinstance(value, (dict, list, tuple)) else _containers((value,))
    while pending:
        container = pending.pop()
        pending += _containers(container.values() if isinstance(container, dict) else container)


def _containers(items: Iterable[Any]) -> list[Any]:
    found = []
    for item in items:
        kind = type(item)
        if kind is str or kind is int:
            continue
        if isinstance(item, float):
            message = f"{item!r} is a float; canonical JSON holds integers and strings only"
            raise TypeError(message)
        if isinstance(item, (dict, list, tuple)):
            found.append(item)
    return found


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of builtins or of protocol structs.

    Raises:
        TypeError: a float, or a value that JSON can't hold: a fault of the caller, not of input.
    """
    plain = msgspec.to_builtins(value)
    _refuse_floats(plain)
    return msgspec.json.encode(plain, order="deterministic")


def decode(data: bytes, kind: type[T], *, what: str, limit: int = DOCUMENT_LIMIT) -> T:
    """Read canonical JSON into `kind`; `what` names the document in errors.

    Raises:
        MalformedError: too large, not JSON, not canonical, or not of the kind's shape.
    """
    if len(data) > limit:
        message = f"{what}: {len(data)} bytes, more than the limit of {limit}"
        raise MalformedError(message)
    try:
        plain = msgspec.json.decode(data)
        _refuse_floats(plain)
        if msgspec.json.encode(plain, order="deterministic") != data:
            message = f"{what}: not canonical JSON (duplicate keys, white space or another spelling)"
            raise MalformedError(message)
        return msgspec.convert(plain, kind, strict=True)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError, ValueError) as error:
        message = f"{what}: {error}"
        raise MalformedError(message) from error


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
