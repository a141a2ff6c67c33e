"""Decisions as git notes on the heads that they were about, for `git log --notes='ordain/*'`.

Only `refs/notes/ordain/decisions`, and `refs/notes/ordain/operations` and `…/rollouts` (`pipeline.operated`), of the watched repository
are ever written, and only forward: others' notes are fetched first, ours are appended, and whoever loses a race tries again. No branch is
touched. A repository that can't be written is warned about once, and holds up nothing: the signed records in the store are what counts.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pygit2
from pygit2.enums import RepositoryOpenFlag

from agent.protocol import durable
from agent.protocol.errors import OrdainError, RetryError
from reconciler.pipeline.audit import DecisionRecord, chained, note_text
from reconciler.pipeline.source import CommitTree, Mirror, write_tree
from reconciler.pipeline.source.directories import EMPTY_TREE, TREE, read_directory, tree_of
from reconciler.pipeline.source.location import refuse_alternates

DECISIONS = "refs/notes/ordain/decisions"
OPERATIONS = "refs/notes/ordain/operations"
ROLLOUTS = "refs/notes/ordain/rollouts"
TRIES = 5
"""Attempts against writers that were quicker; each needs a whole fetch and push of theirs in between."""
PAUSE = 0.05
"""Seconds before the second attempt, twice as many before the third: a writer holds its lock for milliseconds."""
LOCK_AGE = 30.0
"""Seconds after which a lock on our notes is one that a killed process left: a writer holds it for milliseconds."""
PATIENCE = 300.0
"""Seconds for which a repository that can't be written is left alone: a remote that hangs costs a whole time limit."""
NOTE_LIMIT = 64 * 1024
"""Bytes of all notes of one commit: of a head that is judged again for years, the oldest and the newest are kept."""
OPERATIONS_LIMIT = 1024 * 1024
"""Bytes of all that is said of operators on one commit: some 7,000 operations, of a head that stays for weeks."""
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


def write_notes(mirror: Mirror, notes: Sequence[tuple[str, str]], *, ref: str = DECISIONS) -> None:
    """Append each (head, text) to its head's note in the watched repository, unless its first line is there already.

    Raises:
        RetryError: the repository can't be written, or others were quicker at each try.
    """
    attempt = _write_remote if mirror.location.path is None else _write_local
    problem = ""
    for number in range(TRIES):
        try:
            return attempt(mirror, notes, ref)
        except RetryError as error:
            problem = str(error)
            break
        except (OrdainError, pygit2.GitError, KeyError, ValueError, OSError) as error:
            problem = str(error)
            time.sleep(PAUSE * (number + 1))
    message = f"notes can't be written to {mirror.location}: {problem}; let the reconciler write {ref} there"
    raise RetryError(message)


def fetched(mirror: Mirror, ref: str) -> pygit2.Repository:
    """Return a repository that has the watched repository's notes of a ref, if there are any.

    Raises:
        OrdainError, GitError: it can't be reached, or read.
    """
    if mirror.location.path is not None:
        refuse_alternates(mirror.location)
        return pygit2.Repository(str(mirror.location.path), RepositoryOpenFlag.NO_SEARCH)
    _bring(mirror, ref)
    return mirror.repository


def _write_local(mirror: Mirror, notes: Sequence[tuple[str, str]], ref: str) -> None:
    """Write straight into the repository's own notes: libgit2 can't push to one with a working tree."""
    repository = fetched(mirror, ref)
    _break_old_lock(repository, ref)
    _append(repository, notes, ref)


def _break_old_lock(repository: pygit2.Repository, ref: str) -> None:
    """Remove the lock that a writer left who was killed; git itself never does, and no note would ever be written again."""
    lock = Path(repository.path, ref + ".lock")
    with contextlib.suppress(FileNotFoundError):
        if time.time() - lock.stat().st_mtime > LOCK_AGE:
            lock.unlink()
            _log.warning("%s: a killed process left it; removed", lock)


def _bring(mirror: Mirror, ref: str) -> None:
    """Have the remote's notes in the mirror: what an earlier try wrote here never got there."""
    if ref in mirror.transfer.list_heads(mirror.repository):
        mirror.transfer.fetch(mirror.repository, [f"+{ref}:{ref}"])
    elif ref in mirror.repository.references:
        mirror.repository.references.delete(ref)


def _write_remote(mirror: Mirror, notes: Sequence[tuple[str, str]], ref: str) -> None:
    """Start from the remote's notes each time."""
    _bring(mirror, ref)
    if _append(mirror.repository, notes, ref):
        mirror.transfer.push(mirror.repository, f"{ref}:{ref}")


def _append(repository: pygit2.Repository, notes: Sequence[tuple[str, str]], ref: str) -> bool:
    """Add to the notes in one commit, under the lock that git itself takes on a ref; return whether there was anything to add."""
    with repository.transaction() as transaction:
        transaction.lock_ref(ref)
        known = repository.references.get(ref)
        parents = [known.target] if known is not None else []
        before = tree_of(repository, str(parents[0])) if parents else EMPTY_TREE
        tree, limit = before, OPERATIONS_LIMIT if ref == OPERATIONS else NOTE_LIMIT
        for head, text in notes:
            path = _place(repository, tree, head)
            tree = write_tree(repository, tree, _note(repository, tree, path, text, limit))
        if tree == before:
            return False
        who = pygit2.Signature("ordain", "ordain@localhost")
        commit = repository.create_commit(None, who, who, "Notes added by ordain\n", pygit2.Oid(hex=tree), parents)
        transaction.set_target(ref, commit, message=f"ordain: {ref.rpartition('/')[2]}")
    return True


def _note(repository: pygit2.Repository, tree: str, path: str, text: str, limit: int) -> dict[str, str | None]:
    """Return what to replace in the tree of notes so that the note at `path` has `text` too: nothing if it has it."""
    try:
        before = CommitTree(repository, tree).read(path).decode(errors="replace")
    except KeyError:
        before = ""
    if text.partition("\n")[0] in before.splitlines():
        return {}
    return {path: str(repository.create_blob(_joined(before, text, limit).encode()))}


def _place(repository: pygit2.Repository, tree: str, head: str) -> str:
    """Return where the note of a commit stands in the tree of notes, or belongs.

    Git spreads notes over directories by the first digits of the commit, more of them the more notes there are, and
    reads any such layout. New ones go at least one directory down, so that a commit on the notes stays small.
    """
    above, rest, directory = "", head, read_directory(repository, tree)
    while rest.encode() not in directory:
        mode, below = directory.get(rest[:2].encode(), (0, ""))
        if mode != TREE:
            break
        above, rest, directory = f"{above}{rest[:2]}/", rest[2:], read_directory(repository, below)
    found = rest.encode() in directory
    return above + rest if found or above else f"{rest[:2]}/{rest[2:]}"


def _joined(before: str, text: str, limit: int) -> str:
    blocks = [block for block in (*before.strip("\n").split("\n\n"), text.strip("\n")) if block]
    while len(blocks) > 2 and sum(len(block.encode()) + 2 for block in blocks) > limit:  # noqa: PLR2004 - the first and the last
        del blocks[1]
    return "\n\n".join(blocks) + "\n"


class NoteExporter:
    """Brings decisions to the watched repository's notes, and catches up with those that didn't get there.

    Where it stands is kept in the state directory; losing that only means that notes are looked at again.
    """

    def __init__(self, mirror: Mirror, state: Path) -> None:
        self._mirror, self._file = mirror, state / POSITION
        self._warned, self._closed_until = False, 0.0

    def catch_up(self, latest: int, read: Callable[[int], DecisionRecord | None]) -> bool:
        """Write the notes of all decisions up to `latest` that have none yet; return whether all are written.

        `read` gives the record of a sequence, or None where the store has none. A repository that can't be written raises nothing: it is
        warned about once, until it can be written again.
        """
        if self._closed_until > time.monotonic():
            return False
        first = max(self._position() + 1, latest - CATCH_UP_LIMIT + 1)
        found = (read(sequence) for sequence in range(first, latest + 1))
        records = chained([record for record in found if record is not None])
        return not records or self._write(records)

    def _write(self, records: Sequence[DecisionRecord]) -> bool:
        try:
            write_notes(self._mirror, [(record.head, note_text(record)) for record in records])
        except RetryError as error:
            if not self._warned:
                _log.warning("%s; decisions are kept in the store, and their notes are tried again", error)
            self._warned, self._closed_until = True, time.monotonic() + PATIENCE
            return False
        durable.replace(self._file, b"%d\n" % records[-1].sequence)
        self._warned = False
        return True

    def _position(self) -> int:
        try:
            return int(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return 0
