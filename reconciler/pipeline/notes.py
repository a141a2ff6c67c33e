"""Decisions as git notes on the heads that they were about, for `git log --notes='ordain/*'`.

Only `refs/notes/ordain/decisions` of the watched repository is ever written, and only forward: others' notes
are fetched first, ours are appended, and whoever loses a race tries again. No branch is touched. A repository that can't
be written is warned about once, and holds up nothing: the signed records in the store are what counts.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import pygit2
from pygit2.enums import RepositoryOpenFlag

from agent.protocol import durable
from agent.protocol.errors import OrdainError, RetryError
from reconciler.pipeline.audit import DecisionRecord, chained, note_text
from reconciler.pipeline.source import Mirror
from reconciler.pipeline.source.location import refuse_alternates

DECISIONS = "refs/notes/ordain/decisions"
TRIES = 5
"""Attempts against writers that were quicker; each needs a whole fetch and push of theirs in between."""
NOTE_LIMIT = 64 * 1024
"""Bytes of all notes of one commit: of a head that is judged again for years, the oldest and the newest are kept."""
CATCH_UP_LIMIT = 1000
"""Decisions that are brought to the notes in one round."""
POSITION = "notes-written"
"""The file in the state directory that holds the last decision whose note is written."""

_log = logging.getLogger(__name__)


def read_note(repository: pygit2.Repository, head: str) -> str | None:
    """Return all decision notes of a commit, oldest first, or None."""
    try:
        return repository.lookup_note(head, DECISIONS).message
    except (KeyError, ValueError, pygit2.GitError):
        return None


def write_note(mirror: Mirror, head: str, text: str) -> None:
    """Append `text` to the head's note in the watched repository, unless its first line is there already.

    Raises:
        RetryError: the repository can't be written, or others were quicker at each try.
    """
    attempt = _write_remote if mirror.location.path is None else _write_local
    last: Exception | None = None
    for _ in range(TRIES):
        try:
            attempt(mirror, head, text)
        except (OrdainError, pygit2.GitError, KeyError, ValueError, OSError) as error:
            last = error
        else:
            return
    message = f"the note of {head} can't be written to {mirror.location}: {last}; let the reconciler write {DECISIONS} there"
    raise RetryError(message) from last


def _write_local(mirror: Mirror, head: str, text: str) -> None:
    """Write straight into the repository's own notes: libgit2 can't push to one with a working tree."""
    refuse_alternates(mirror.location)
    target = pygit2.Repository(str(mirror.location.path), RepositoryOpenFlag.NO_SEARCH)
    _append(target, head, text)


def _write_remote(mirror: Mirror, head: str, text: str) -> None:
    """Start from the remote's notes each time: what an earlier try wrote here never got there."""
    if DECISIONS in mirror.transfer.list_heads(mirror.repository):
        mirror.transfer.fetch(mirror.repository, [f"+{DECISIONS}:{DECISIONS}"])
    elif DECISIONS in mirror.repository.references:
        mirror.repository.references.delete(DECISIONS)
    if _append(mirror.repository, head, text):
        mirror.transfer.push(mirror.repository, f"{DECISIONS}:{DECISIONS}")


def _append(repository: pygit2.Repository, head: str, text: str) -> bool:
    """Add to the note; the commit on the notes ref fails if the ref has moved since. Return whether there was anything to add."""
    before = read_note(repository, head) or ""
    title = text.partition("\n")[0]
    if title in before.splitlines():
        return False
    who = pygit2.Signature("ordain", "ordain@localhost")
    repository.create_note(_joined(before, text), who, who, head, DECISIONS, True)  # noqa: FBT003 - pygit2's own: replace the note of this commit
    return True


def _joined(before: str, text: str) -> str:
    blocks = [block for block in (*before.strip("\n").split("\n\n"), text.strip("\n")) if block]
    while len(blocks) > 2 and sum(len(block.encode()) + 2 for block in blocks) > NOTE_LIMIT:  # noqa: PLR2004 - the first and the last
        del blocks[1]
    return "\n\n".join(blocks) + "\n"


class NoteExporter:
    """Brings decisions to the watched repository's notes, and catches up with those that didn't get there.

    Where it stands is kept in the state directory; losing that only means that notes are looked at again.
    """

    def __init__(self, mirror: Mirror, state: Path) -> None:
        self._mirror, self._file = mirror, state / POSITION
        self._warned = False

    def catch_up(self, latest: int, read: Callable[[int], DecisionRecord | None]) -> bool:
        """Write the notes of all decisions up to `latest` that have none yet; return whether all are written.

        `read` gives the record of a sequence, or None where the store has none. A repository that can't be written raises nothing: it is
        warned about once, until it can be written again.
        """
        first = max(self._position() + 1, latest - CATCH_UP_LIMIT + 1)
        found = (read(sequence) for sequence in range(first, latest + 1))
        for record in chained([record for record in found if record is not None]):
            if not self._write(record):
                return False
            durable.replace(self._file, b"%d\n" % record.sequence)
        return True

    def _write(self, record: DecisionRecord) -> bool:
        try:
            write_note(self._mirror, record.head, note_text(record))
        except RetryError as error:
            if not self._warned:
                _log.warning("%s; decisions are kept in the store, and their notes are tried again", error)
            self._warned = True
            return False
        self._warned = False
        return True

    def _position(self) -> int:
        try:
            return int(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return 0
