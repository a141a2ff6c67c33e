"""What must be true whatever was killed when: of a host, of the record of decisions, of the notes, of the logs."""

from collections.abc import Iterable
from pathlib import Path

import pygit2

from agent.apply.recover import recover
from agent.disk import Disk
from agent.host import Host
from reconciler.pipeline import accepted
from reconciler.pipeline.audit import PAYLOAD_TYPE, RECORDS, DecisionRecord, decode_record, note_text, record_digest
from reconciler.pipeline.notes import read_note
from reconciler.publication import envelope
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import LocalStore
from tests.faults import words


def held(root: Path, state: Path) -> int:
    """Recover a host whose agent is dead, and return which word it holds; raises `AssertionError` as `words.held` does."""
    recover(Host(root), Disk(root=state))
    return words.held(root)


def decisions(store: LocalStore, keys: Path) -> list[DecisionRecord]:
    """Return the decisions that led to the accepted state, newest first; each must name the one before it."""
    key = KeyRing(zone="pipeline", directory=keys / "pipeline").public("repository")
    stored = accepted.read(store, key)
    assert stored is not None
    records: dict[str, DecisionRecord] = {}
    for name in store.list(RECORDS):
        payload = envelope.verify(store.get(name) or b"", PAYLOAD_TYPE, [key], what=name)
        records[record_digest(payload)] = decode_record(payload)
    chain: list[DecisionRecord] = []
    wanted: str | None = stored.state.record
    while wanted is not None:
        assert wanted in records, f"decision {wanted[:12]} is missing; {len(chain)} are there after it"
        chain.append(records[wanted])
        wanted = records[wanted].previous
    numbers = [record.sequence for record in chain]
    assert numbers == sorted(set(numbers), reverse=True), f"numbers of decisions don't grow: {numbers}"
    return chain


def without_note(repository: Path, chain: Iterable[DecisionRecord]) -> list[int]:
    """Return the numbers of decisions that have no note."""
    opened = pygit2.Repository(str(repository))
    return [record.sequence for record in chain if note_text(record).partition("\n")[0] not in (read_note(opened, record.head) or "")]


def tracebacks(logs: Iterable[Path]) -> list[str]:
    """Return the lines of logs that show an error which nobody handled, with the line after."""
    found = []
    for log in logs:
        lines = log.read_text(errors="replace").splitlines()
        found += [f"{log.name}: {line[:1500]}" for line in lines if "Traceback (most recent call last)" in line]
    return found
