"""Decisions, kept twice: as a signed and chained record in the store, and as a note that plain git shows.

The record is what counts and what `ordain audit` replays. The note is for people: short lines, appended to
the head that was decided on, under `refs/notes/ordain/decisions` of the watched repository. A repository
that can't be written is warned about once, and holds up nothing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from msgspec import field

from agent.protocol.state import Struct
from reconciler.pipeline.finding import Verdict
from reconciler.pipeline.source import CommitInfo, Mirror


class RecordedObject(Struct):
    """Which manifest a verdict is about."""

    kind: str
    tenant: str
    name: str


class RecordedVerdict(Struct):
    """A verdict, as `ordain check --format json` prints it, and whether it is a standing one."""

    action: Literal["deny", "warn", "audit", "error"]
    rule: str
    code: str
    message: str
    remedy: str
    file: str
    line: int
    column: int
    pointer: str
    object: RecordedObject | None = None
    standing: bool = False


class RecordedCommit(Struct):
    """A commit that arrived with the head."""

    sha: str
    author: str
    email: str
    time: str
    signer: str | None = None


class RecordedRelease(Struct):
    """A release that this decision approved."""

    tenant: str
    fleet: str
    digest: str
    members: int
    sequence: int


class RecordedWaiver(Struct):
    """A waiver that excused a verdict."""

    tenant: str
    name: str
    rule: str
    expires: str


class DecisionRecord(Struct):
    """One decision: what was judged, by what, when, and what came of it. `previous` is the SHA-256 of the record before it."""

    format: Literal[1] = 1
    sequence: int
    previous: str | None
    head: str
    from_: str | None = field(name="from")
    at: str
    tree: str
    judge: str
    opa: str
    ordain: str
    commits: list[RecordedCommit]
    verdicts: list[RecordedVerdict]
    refused: dict[str, str]
    waivers: list[RecordedWaiver]
    releases: list[RecordedRelease]


PAYLOAD_TYPE = "application/vnd.ordain.decision+json"


def recorded_verdict(verdict: Verdict) -> RecordedVerdict:
    """Return a verdict as records hold it."""
    raise NotImplementedError


def recorded_commits(commits: Sequence[CommitInfo]) -> list[RecordedCommit]:
    """Return commits as records hold them."""
    raise NotImplementedError


def encode_record(record: DecisionRecord) -> bytes:
    """Return the record's canonical bytes: the payload that is signed."""
    raise NotImplementedError


def decode_record(data: bytes) -> DecisionRecord:
    """Read a record's payload; raise `MalformedError`."""
    raise NotImplementedError


def record_digest(payload: bytes) -> str:
    """Return what the next record names as `previous`."""
    raise NotImplementedError


def record_key(sequence: int) -> str:
    """Return the store key of a decision's signed record."""
    return f"approved/_decisions/{sequence}.json"


def note_text(record: DecisionRecord) -> str:
    """Return the note of a decision: at most 40 lines for people."""
    raise NotImplementedError


def read_note(repository_path: Path, head: str) -> str | None:
    """Return all decision notes of a commit, oldest first."""
    raise NotImplementedError


def write_note(mirror: Mirror, head: str, text: str) -> None:
    """Append `text` to the head's note in the watched repository, unless it is there already.

    Raises:
        RetryError: the repository can't be written, or others wrote at each try.
    """
    raise NotImplementedError


class NoteExporter:
    """Brings decisions to the watched repository's notes, and catches up with those that didn't get there.

    Where it stands is kept in the state directory. Losing that only means that notes are looked at again.
    """

    def __init__(self, mirror: Mirror, state: Path) -> None:
        raise NotImplementedError

    def catch_up(self, latest: int, read: Callable[[int], DecisionRecord | None]) -> bool:
        """Write the notes of all decisions up to `latest` that aren't written yet; return whether all are. Never raises for a remote that can't be written: it warns once."""
        raise NotImplementedError
