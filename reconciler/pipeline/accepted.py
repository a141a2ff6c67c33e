"""The accepted state as it stands in the store: signed, numbered, and all that a new machine needs to go on.

It names the examined head and the accepted tree, which differs from the head's only where a file was refused. The tree's
objects are archived beside it, so neither a force push nor a lost disk can take away what was accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import pygit2
from securesystemslib.signer import Key, Signer

from agent.protocol import codec, durable
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.faults import reached
from agent.protocol.state import Struct
from reconciler.pipeline.objects import export_objects, import_objects
from reconciler.publication import envelope
from reconciler.publication.store import Store
from reconciler.publication.times import stamp

PLACES = ("pipeline:after-objects",)
"""Where a crash test may kill the pipeline here."""
FORMAT = 1
KEY = "approved/accepted.json"
PAYLOAD_TYPE = "application/vnd.ordain.accepted+json"
OBJECTS = "approved/_objects/"
"""Where the archives of objects stand."""
LIFE = timedelta(days=365)
"""Nobody but the pipeline reads it, so it is renewed by each decision and may lie for long."""
SEEN = "accepted-sequence"
"""File of the state directory with the highest sequence seen: an older signed state is still older."""
ARCHIVES_LIMIT = 64
"""Archives of objects before all of the accepted tree is written as one again."""


class Held(Struct):
    """A refused file: why, by which commit, and its accepted version (None: it has none)."""

    reason: str
    commit: str
    oid: str | None


class Standing(Struct):
    """A fleet that stands still (`frozen`) or can't be released yet (`waiting`), why, since when and since which head."""

    state: Literal["frozen", "waiting"]
    why: str
    since: str
    commit: str = ""


class StandingVerdict(Struct):
    """A verdict that refuses nothing, since what it is about was accepted before: `object` is `Component shop/motd`."""

    rule: str
    object: str
    file: str
    place: str
    message: str
    since: str
    blocks: bool = False
    scope: Literal["object", "release"] = "object"


class KnownWaiver(Struct):
    """An accepted waiver: `name` is `tenant/name`, `until` the first instant at which it no longer counts."""

    name: str
    rule: str
    object: str
    owner: str
    reason: str
    until: str
    file: str
    incident: str = ""
    unused: bool = False


class Doubt(Struct):
    """Why no signature lets a file in: the rule (without `signatures/`), what is wrong, and the commit that brought it."""

    rule: str
    message: str
    commit: str


class AcceptedState(Struct):
    """`approved/accepted.json`; `judge` is the digest of the judge, `record` that of the decision's record.

    `wake_at` is the next instant at which time alone brings a decision (a waiver's end, a rule's date), empty where there is
    none. `judged_to` is the instant up to which such have been judged. `standing_left_out` counts standing verdicts beyond those here.
    `doubts` are the files that signatures hold back, by path: a later commit that is signed does not let them in.
    `released` is the last decision whose releases and controls are all in the store: below `decision`, a crash came between.
    """

    format: int
    sequence: int
    expires: str
    head: str
    tree: str
    judge: str
    decision: int
    record: str
    examined_at: str
    objects: list[str] = []
    held: dict[str, Held] = {}
    fleets: dict[str, Standing] = {}
    tenants: list[str] = []
    unjudged: bool = False
    released: int = 0
    doubts: dict[str, Doubt] = {}
    standing: list[StandingVerdict] = []
    standing_left_out: int = 0
    waivers: list[KnownWaiver] = []
    wake_at: str = ""
    judged_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Accepted state as read from the store, with the version to replace it by."""

    state: AcceptedState
    version: str


def read(store: Store, *keys: Key) -> Stored | None:
    """Return the accepted state, None before the first; raise `RefusedError` if none of these keys signed it."""
    found = store.get_versioned(KEY)
    if found is None:
        return None
    payload = envelope.verify(found[0], PAYLOAD_TYPE, keys, what=KEY)
    return Stored(state=codec.decode(payload, AcceptedState, what=KEY, limit=envelope.ENVELOPE_LIMIT), version=found[1])


def seen(state: Path) -> int:
    """Return the highest sequence that this machine has written or gone on from; 0 on an empty disk.

    Raises:
        RefusedError: the file is damaged.
    """
    file = state / SEEN
    try:
        return int(file.read_bytes().decode())
    except FileNotFoundError:
        return 0
    except (ValueError, OSError) as error:
        message = f"{file}: can't be read ({error}); if the store is known to be good, remove the file"
        raise RefusedError(message) from error


def require_seen(state: Path, stored: Stored | None) -> None:
    """Refuse accepted state older than what this machine has seen: somebody put an old one back, or took it away.

    Raises:
        RefusedError: it is older, or gone.
    """
    floor, sequence = seen(state), stored.state.sequence if stored else 0
    if sequence < floor:
        message = (
            f"{KEY}: sequence {sequence}, though {floor} was seen here: an older state was put back, or the store was lost. "
            f"If you restored a backup yourself, remove {state / SEEN} and start again"
        )
        raise RefusedError(message)


def remember(state: Path, sequence: int) -> None:
    """Note for keeps that this sequence was seen, so that nothing older is gone on from."""
    durable.replace(state / SEEN, str(sequence).encode())


def sign_again(store: Store, signer: Signer, stored: Stored, *, now: datetime) -> Stored:
    """Write the accepted state anew if another key than this one signed it; return what stands then. Raises as `write` does."""
    found = store.get(KEY)
    if found is None or envelope.is_signed_by(found, signer.public_key, what=KEY):
        return stored
    return write(store, signer, stored.state, stored, now=now)


def write(store: Store, signer: Signer, state: AcceptedState, before: Stored | None, *, now: datetime) -> Stored:
    """Put the next accepted state in the store, with the next sequence.

    Raises:
        RetryError: another reconciler wrote in between.
    """
    sequence = before.state.sequence + 1 if before else 1
    state = msgspec.structs.replace(state, sequence=sequence, expires=stamp(now + LIFE))
    data = envelope.sign(codec.canonical(state), PAYLOAD_TYPE, [signer])
    if not store.replace(KEY, data, before.version if before else None):
        message = f"{KEY}: another reconciler wrote it; this one starts over from there"
        raise RetryError(message)
    version = store.version(KEY)
    return Stored(state=state, version=version or "")


def archive(store: Store, repository: pygit2.Repository, before: AcceptedState | None, tree: str, head: str) -> list[str]:
    """Put the objects that a new accepted tree brings into the store; return the digests of all archives that it needs."""
    kept = list(before.objects) if before else []
    old = before.tree if before and len(kept) < ARCHIVES_LIMIT else None
    data = export_objects(repository, old, tree, (head,))
    if data is None:
        return kept
    digest = codec.sha256(data)
    store.create(object_key(digest), data)
    reached("pipeline:after-objects")
    return [*kept, digest] if old is not None else [digest]


def restore(store: Store, repository: pygit2.Repository, state: AcceptedState) -> None:
    """Bring the accepted tree's objects into a mirror that hasn't got them (a new machine, a force push).

    Raises:
        RetryError: an archive is missing from the store.
    """
    if state.tree in repository and state.head in repository:
        return
    for digest in state.objects:
        data = store.get(object_key(digest))
        if data is None or codec.sha256(data) != digest:
            message = f"{object_key(digest)}: missing or damaged; restore it from a backup of the store"
            raise RetryError(message)
        import_objects(repository, data)


def object_key(digest: str) -> str:
    """Return the store key of an archive of objects."""
    return f"{OBJECTS}{digest}.tar.gz"


def blob_of(repository: pygit2.Repository, tree: str | None, path: str) -> str | None:
    """Return the blob id of a path in a tree, None where there is none."""
    if tree is None:
        return None
    try:
        return str(repository[tree][path].id)  # type: ignore[index]
    except KeyError:
        return None


def held(refused: Mapping[str, str], repository: pygit2.Repository, before: AcceptedState | None, head: str) -> dict[str, Held]:
    """Return the refused files as accepted state holds them; one that was refused already keeps the commit that brought it."""
    tree = before.tree if before else None
    earlier = before.held if before else {}
    return {
        path: Held(
            reason=reason,
            commit=earlier[path].commit if path in earlier and earlier[path].reason == reason else head,
            oid=blob_of(repository, tree, path),
        )
        for path, reason in sorted(refused.items())
    }
