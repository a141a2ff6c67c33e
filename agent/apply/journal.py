"""What one transaction is about to change, on disk before it does; one at a time on a host.

`staging` names the files that are put beside targets, so that a crash leaves none behind. `switching` holds for each
step what stood there before. Whether the transaction happened is not said here but by the fleet's `current.json`.
"""

from pathlib import Path
from typing import Literal

from agent.apply.saved import Saved
from agent.disk import read_optional
from agent.protocol import codec, durable
from agent.protocol.errors import MalformedError
from agent.protocol.identity import LABEL
from agent.protocol.state import Struct

FORMAT = 1


class Step(Struct):
    """One change: `put` renames `staged` over `path`; `before` is what stands there until then.

    A tree that stands there is renamed to `kept` first. `inode` tells the tree that was staged from anything else at `path`.
    """

    path: str
    kind: Literal["mkdir", "put", "attributes", "remove"]
    staged: str | None = None
    before: Saved | None = None
    kept: str | None = None
    inode: int = 0


class Journal(Struct):
    """One transaction of `fleet` to `generation`; `fresh` if that generation exists only because of it.

    `adopted` are paths taken over, `released` paths let go: their originals' entries fall with it, or on its success. So it
    is with `unpacked` and `emptied`, the paths at which there are trees from then on, or no longer.
    """

    format: int
    transaction: str
    fleet: str
    generation: int
    fresh: bool
    phase: Literal["staging", "switching"]
    steps: list[Step]
    adopted: list[str]
    released: list[str]
    unpacked: list[str] = []
    emptied: list[str] = []


def read(path: Path) -> Journal | None:
    """Return the transaction under way, None if there is none; raise `MalformedError` for a damaged journal."""
    journal = read_optional(path, Journal)
    if journal is not None and not LABEL.fullmatch(journal.fleet):  # it names a directory
        message = f"{path}: {journal.fleet[:80]!r} is no name of a fleet"
        raise MalformedError(message)
    return journal


def write(path: Path, journal: Journal) -> None:
    """Put the journal on disk for keeps."""
    durable.replace(path, codec.canonical(journal), mode=0o600)
