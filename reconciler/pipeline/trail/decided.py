"""Decisions, as their signed records or their notes tell them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import pygit2
from securesystemslib.signer import Key

from reconciler.pipeline.audit import PAYLOAD_TYPE, RECORDS, DecisionRecord, chained, decode_record
from reconciler.pipeline.notes import DECISIONS
from reconciler.pipeline.source.directories import changes_between, tree_of
from reconciler.publication import envelope
from reconciler.publication.store import Store

NOTES_LIMIT = 100_000
"""Commits whose notes are read: a decision each, years of them."""
_FIRST = re.compile(r"ordain decision ([1-9][0-9]{0,15}): (.*)")
_AT = re.compile(r"at (\S+) by ordain (\S+), OPA (\S+), judge (\S*)")
_RELEASE = re.compile(r"release ([a-z0-9-]+/[a-z0-9-]+): bundle sha256:([0-9a-f]{64})")
_MORE = re.compile(r"… and \d+ more releases and waivers in the record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision. `record` is None where only its note is known; then `cut` says that the note leaves releases out."""

    sequence: int
    head: str
    at: str
    releases: Mapping[str, str] = field(default_factory=dict)
    """Digest by fleet, `tenant/name`: only of the fleets that got a new release."""
    record: DecisionRecord | None = None
    cut: bool = False

    @property
    def tree(self) -> str:
        """The accepted tree; by its note alone the head itself, which is another where files were refused."""
        return self.record.tree if self.record is not None else self.head


def of_record(record: DecisionRecord) -> Decided:
    """Return a decision as its record tells it."""
    releases = {f"{one.tenant}/{one.fleet}": one.digest for one in record.releases}
    return Decided(sequence=record.sequence, head=record.head, at=record.at, releases=releases, record=record)


def record_names(store: Store) -> list[str]:
    """Return the keys of all records in a store, in order of their numbers."""
    return sorted(store.list(RECORDS), key=lambda name: (len(name), name))


def read_records(store: Store, keys: Sequence[Key]) -> list[Decided]:
    """Return the decisions of a store that its newest one stands on, oldest first; what a crash cut short is left out.

    Raises:
        RefusedError: one is not signed by these keys.
        MalformedError: one is no record.
    """
    found = ((name, store.get(name)) for name in record_names(store))
    records = [decode_record(envelope.verify(data, PAYLOAD_TYPE, keys, what=name)) for name, data in found if data is not None]
    return [of_record(record) for record in chained(records)]


def blocks(note: str) -> list[str]:
    """Return the notes of single decisions in a commit's note, which others may have written to as well."""
    return [block for block in note.strip("\n").split("\n\n") if _FIRST.match(block)]


def sequence_of(block: str) -> int:
    """Return the number of the decision that a block is about."""
    found = _FIRST.match(block)
    return int(found[1]) if found else 0


def noted(repository: pygit2.Repository, ref: str = DECISIONS) -> Iterator[tuple[str, str]]:
    """Yield (commit, note) of all notes of a repository at a ref, none where it has none; damaged objects raise `MalformedError`."""
    reference = repository.references.get(ref)
    if reference is None:
        return
    tree = tree_of(repository, str(reference.target))
    for path, _, node in islice(changes_between(repository, None, tree), NOTES_LIMIT):
        commit = path.replace("/", "")
        if node is not None and re.fullmatch(r"[0-9a-f]{40}", commit):
            blob = repository[node[1]]
            yield commit, blob.data.decode(errors="replace") if isinstance(blob, pygit2.Blob) else ""


def read_notes(repository: pygit2.Repository) -> list[Decided]:
    """Return the decisions that a repository's notes tell of, in order of their numbers."""
    found = [_of_block(commit, block) for commit, note in noted(repository) for block in blocks(note)]
    return sorted((one for one in found if one is not None), key=lambda one: one.sequence)


def _of_block(commit: str, block: str) -> Decided | None:
    first, *lines = block.split("\n")
    number, at = _FIRST.match(first), next((found for line in lines[:1] if (found := _AT.match(line))), None)
    if number is None or at is None:
        return None
    releases = {found[1]: found[2] for line in lines if (found := _RELEASE.fullmatch(line))}
    return Decided(sequence=int(number[1]), head=commit, at=at[1], releases=releases, cut=any(_MORE.fullmatch(line) for line in lines))
