"""The highest numbers and the latest time that a host has seen, below which it never goes again.

Each is kept by the id of the key that signed it and dropped when that key is rotated: a thief of an online key can
push numbers up so far that nothing newer exists (a fast-forward attack), and rotating the key must undo that. They are
fsynced before what they came with is used, since a power loss must not bring an older release back.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from agent.disk import read_optional
from agent.protocol import codec, durable
from agent.protocol.errors import RefusedError
from agent.protocol.state import Struct

FORMAT = 1
Mark = Literal["timestamp", "snapshot", "releases", "rollouts", "serial", "epoch", "clock"]


class Floors(Struct):
    """`root` is the highest root version; `marks` is mark → key id → number. `clock` is in seconds since 1970."""

    format: int = FORMAT
    root: int = 0
    marks: dict[str, dict[str, int]] = {}


def floor(floors: Floors, mark: Mark, keys: Iterable[str]) -> int:
    """Return the lowest number that is acceptable under any of these keys, 0 if none was seen."""
    known = floors.marks.get(mark, {})
    return max((known[key] for key in keys if key in known), default=0)


def raised(floors: Floors, mark: Mark, keys: Iterable[str], value: int) -> Floors:
    """Return floors at which `value` was seen under these keys; other keys' marks, rotated out, are dropped.

    Raises:
        RefusedError: `value` is below the floor; a clock is never below, it only stays.
    """
    held = sorted(keys)
    lowest = floor(floors, mark, held)
    if value < lowest and mark != "clock":
        message = f"{mark} {value} is older than {lowest}, which this host has seen; it is not used"
        raise RefusedError(message)
    marks: Mapping[str, dict[str, int]] = {**floors.marks, mark: dict.fromkeys(held, max(value, lowest))}
    return msgspec.structs.replace(floors, marks=dict(marks))


def read(path: Path) -> Floors:
    """Return the floors at `path`; none yet are no floors. Raises `MalformedError` for a damaged file, which is never ignored."""
    return read_optional(path, Floors) or Floors(format=FORMAT)


def write(path: Path, floors: Floors) -> None:
    """Put the floors on disk for keeps."""
    durable.replace(path, codec.canonical(floors), mode=0o600)
