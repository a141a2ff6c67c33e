"""What operators did, as git notes on the head of that time: `refs/notes/ordain/operations`.

What became of a release's rollout is told beside the commit that it is of, too: `refs/notes/ordain/rollouts`.

`serve` leaves each tenant's audit in the store, signed with an online key (`publication.operations`). Here the signature and the order
of the entries are verified, and what is new is written beside the newest examined commit, so that every clone has it. Git keeps what
was once exported: whoever takes over `serve` later can't take it back.
"""

import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pygit2

from agent.protocol import codec, durable
from agent.protocol.errors import MalformedError, OrdainError, RetryError
from agent.protocol.state import Struct
from reconciler.pipeline.notes import OPERATIONS, PATIENCE, ROLLOUTS, fetched, write_notes
from reconciler.pipeline.source import Mirror
from reconciler.pipeline.trail.decided import noted
from reconciler.printable import printable
from reconciler.publication import layout, operations
from reconciler.publication.operations import Operation, Operations
from reconciler.publication.store import Store
from reconciler.publication.trust import read_trust

POSITION = "operations-written"
"""The file in the state directory that says of each tenant what is in the notes."""
BLOCK = 200
"""Operations of one note: some 30 kB. Of a head with more than `notes.OPERATIONS_LIMIT` the oldest and the newest are kept."""
LINE_LIMIT = 400
"""Characters of a line: who, what, of what and why."""
ROLE = "rollouts"
TRANSITION = "rollout."
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FIRST = re.compile(r"ordain operations ([a-z0-9-]+) ([0-9]+): [0-9]+ to ([0-9]+)$")
_LAST = re.compile(r"chain ([0-9a-f]{64})$")

_log = logging.getLogger(__name__)


class Position(Struct):
    """How far a tenant's operations are in the notes: the series, the last entry's number, and its hash."""

    series: int = 0
    number: int = 0
    hash: str = ""


class _Positions(Struct):
    tenants: dict[str, Position] = {}


@dataclass(slots=True, kw_only=True)
class OperationsExporter:
    """Brings what operators did to the watched repository's notes; what can't be written now is tried again.

    Losing its file in the state directory only means that the notes are read for where they end.
    """

    mirror: Mirror
    store: Store
    state: Path
    _seen: dict[str, str] = field(default_factory=dict)
    _warned: bool = False
    _closed_until: float = 0.0

    def catch_up(self, head: str, tenants: Iterable[str]) -> None:
        """Write what is new of these tenants to the note of a commit; raises nothing, warns once of a repository that can't be written."""
        if self._closed_until > time.monotonic():
            return
        try:
            found = [one for tenant in sorted(tenants) if (one := self._news(tenant)) is not None]
            if found:
                self._write(head, found)
            self._warned = False
        except (OrdainError, pygit2.GitError, OSError) as error:
            if not self._warned:
                _log.warning("what operators did is not in the notes yet: %s", error)
            self._warned, self._closed_until = True, time.monotonic() + PATIENCE

    def _news(self, tenant: str) -> tuple[str, str] | None:
        """Return a tenant and the version of its newest part, None where that is known already."""
        keys = list(self.store.list(layout.operations(tenant)))
        version = self.store.version(keys[-1]) if keys else None
        return None if version is None or self._seen.get(tenant) == version else (tenant, version)

    def _write(self, head: str, found: Sequence[tuple[str, str]]) -> None:
        positions = self._positions()
        tenants = dict(positions.tenants)
        for tenant, version in found:
            news = list(self._texts(tenant, tenants))
            if news:
                went = list(rollout_notes(one for _, done in news for one in done))
                if went:
                    write_notes(self.mirror, went, ref=ROLLOUTS)
                write_notes(self.mirror, [(head, text) for text, _ in news], ref=OPERATIONS)
                durable.replace(self.state / POSITION, codec.canonical(_Positions(tenants=tenants)))
            self._seen[tenant] = version

    def _texts(self, tenant: str, tenants: dict[str, Position]) -> Iterator[tuple[str, Sequence[Operation]]]:
        """Yield the notes of what is new of a tenant, each with what it is about, and move its position on."""
        known = tenants.get(tenant, Position())
        for part in self._parts(tenant, known):
            fresh = part.series != known.series
            position = Position(series=part.series) if fresh else known
            news = [one for one in part.operations if one.number > position.number]
            gap = "" if not news or fresh else _gap(part, news[0], position)
            for start in range(0, len(news), BLOCK):
                block = news[start : start + BLOCK]
                yield note_text(tenant, part.series, block, "" if start else gap), block
                known = tenants[tenant] = Position(series=part.series, number=block[-1].number, hash=block[-1].hash)

    def _parts(self, tenant: str, known: Position) -> Iterator[Operations]:
        """Yield the parts from a position on, verified; one that a rotated key signed, or that is damaged, is told and left out."""
        trust = read_trust(self.store, tenant)
        first = layout.operations(tenant, known.series, operations.part_of(max(known.number, 1)))
        for key in self.store.list(layout.operations(tenant)) if trust else ():
            data = self.store.get(key) if key >= first else None
            if data is None or trust is None:
                continue
            try:
                yield operations.read(data, trust.keys(ROLE), tenant=tenant)
            except OrdainError as error:
                _log.warning("%s: not written to the notes: %s", key, error)

    def _positions(self) -> _Positions:
        try:
            return codec.decode((self.state / POSITION).read_bytes(), _Positions, what=POSITION)
        except FileNotFoundError:
            return _Positions(tenants=_in_notes(fetched(self.mirror, OPERATIONS)))
        except MalformedError as error:
            message = f"{self.state / POSITION}: {error}; remove it, and the notes are read instead"
            raise RetryError(message) from error


def _gap(part: Operations, first: Operation, position: Position) -> str:
    """Return what is wrong with how new entries follow those that are written, nothing where they do."""
    before = {one.number: one.hash for one in part.operations}.get(position.number)
    if before is None and part.operations and part.operations[0].number == first.number:
        before = part.previous
    if before == position.hash and first.number == position.number + 1:
        return ""
    return (
        f"these do not follow the entry {position.number} that was exported before (chain {position.hash}): see `ordain audit operations`"
    )


def note_text(tenant: str, series: int, done: Sequence[Operation], gap: str = "") -> str:
    """Return the note of some operations, by whose first line it is known again."""
    lines = [f"ordain operations {tenant} {series}: {done[0].number} to {done[-1].number}"]
    lines += [gap] if gap else []
    for one in done:
        why = f": {one.reason}" if one.reason else ""
        lines.append(printable(f"{one.number} {one.at} {one.who} {one.action} {one.target} {one.outcome}{why}")[:LINE_LIMIT])
    return "\n".join([*lines, f"chain {done[-1].hash}"]) + "\n"


def rollout_notes(done: Iterable[Operation]) -> Iterator[tuple[str, str]]:
    """Yield the commit and the note of each transition of a rollout: `serve` names them `rollout.…`, of `tenant/fleet@commit`."""
    for one in done:
        fleet, _, commit = one.target.rpartition("@")
        if one.action.startswith(TRANSITION) and _COMMIT.fullmatch(commit):
            what = one.action.removeprefix(TRANSITION)
            first = f"ordain rollout of {fleet}: {what} at {one.at} by {one.who} ({one.number}, chain {one.hash[:16]})"
            yield commit, f"{printable(first)[:LINE_LIMIT]}\n{printable(one.reason)[:LINE_LIMIT]}\n"


def _in_notes(repository: pygit2.Repository) -> dict[str, Position]:
    """Return how far each tenant's operations are in a repository's notes."""
    found: dict[str, Position] = {}
    for _, note in noted(repository, OPERATIONS):
        for block in note.strip("\n").split("\n\n"):
            lines = block.split("\n")
            first, last = _FIRST.match(lines[0]), _LAST.match(lines[-1])
            if first and last:
                there = Position(series=int(first[2]), number=int(first[3]), hash=last[1])
                known = found.get(first[1], Position())
                found[first[1]] = max(known, there, key=lambda one: (one.series, one.number))
    return found
