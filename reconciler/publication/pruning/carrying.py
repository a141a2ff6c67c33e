"""Planning what goes, and carrying it out beside processes that approve and publish.

What may go is asked for again before each batch and after it. What was needed again in between (an old release that came back through
git) is put back from memory. A kill leaves a store in which less has gone; the next run goes on.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agent.protocol.errors import RefusedError
from reconciler.publication.store import Entry, Store

BATCH = 32
"""Files that go between two looks at what is needed, held in memory meanwhile: bundles are 32 MiB at most, and 30 KiB as a rule."""

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What of a subject is needed, by key; what is neither and was written before `since` may go."""

    keys: frozenset[str]
    kinds: Callable[[str], str]
    """What a file is, by its key, in the plural; "" for one that is no business of pruning."""
    since: datetime

    def may_go(self, entry: Entry) -> bool:
        """Return whether a file may go."""
        return entry.written < self.since and entry.key not in self.keys and bool(self.kinds(entry.key))


class Subject(Protocol):
    """What is pruned by itself: a fleet, as one zone sees it."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    def entries(self) -> Sequence[Entry]:
        """Return all that stands of it, in the order in which it may go: what refers to others first."""
        ...

    def stamp(self) -> object:
        """Return what is another value whenever more may be needed than before."""
        ...

    def needs(self) -> Needs:
        """Return what of it is needed; raise `RefusedError` where what says so can't be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would go of a subject, and how much stays; `left` says why nothing of it goes, where it can't be read."""

    subject: Subject
    going: tuple[Entry, ...] = ()
    kinds: dict[str, tuple[int, int]] = field(default_factory=dict)
    """What goes, by what it is: files and bytes."""
    staying: int = 0
    left: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What was removed, and what was put back since it was needed again."""

    files: int = 0
    bytes: int = 0
    back: int = 0


def plan(subject: Subject) -> Plan:
    """Return what would go of a subject now."""
    entries: Sequence[Entry] = ()
    try:
        entries = subject.entries()
        needs = subject.needs()
    except RefusedError as error:
        return Plan(subject=subject, staying=len(entries), left=" ".join(str(error).split()))
    going = tuple(entry for entry in entries if needs.may_go(entry))
    files, sizes = Counter[str](), Counter[str]()
    for entry in going:
        files[needs.kinds(entry.key)] += 1
        sizes[needs.kinds(entry.key)] += entry.size
    kinds = {kind: (files[kind], sizes[kind]) for kind in sorted(files)}
    return Plan(subject=subject, going=going, kinds=kinds, staying=len(entries) - len(going))


def carry_out(store: Store, planned: Plan, said: Said) -> Gone:
    """Remove what a plan says, as far as it may still go.

    Raises:
        RefusedError: what says what is needed can't be read any more, or this zone may not write there.
        RetryError: the store can't be reached.
    """
    subject, gone = planned.subject, Gone()
    stamp, needs = subject.stamp(), subject.needs()
    for start in range(0, len(planned.going), BATCH):
        said(f"{subject.name}: {gone.files} of {len(planned.going)} files are gone")
        stamp, needs = _now(subject, stamp, needs)
        batch = [entry for entry in planned.going[start : start + BATCH] if needs.may_go(entry)]
        held: dict[str, bytes] = {}
        try:
            _remove(store, batch, held)
        finally:  # also where the store refused half-way: what went until then may be needed
            stamp, needs = _now(subject, stamp, needs)
            back = _put_back(store, needs, held)
        gone = Gone(files=gone.files + len(held), bytes=gone.bytes + sum(map(len, held.values())), back=gone.back + back)
    return gone


def _now(subject: Subject, stamp: object, needs: Needs) -> tuple[object, Needs]:
    """Return what is needed now: what was known, unless something happened since."""
    now = subject.stamp()
    return (now, needs) if now == stamp else (now, subject.needs())


def _remove(store: Store, batch: Sequence[Entry], held: dict[str, bytes]) -> None:
    """Remove files, and keep in `held` what each held; what is gone by itself is passed over."""
    for entry in batch:
        data = store.get(entry.key)
        if data is not None:
            held[entry.key] = data
            store.delete(entry.key)


def _put_back(store: Store, needs: Needs, held: dict[str, bytes]) -> int:
    """Put back what is needed again of what was removed; return how many files."""
    back = [key for key in held if key in needs.keys]
    for key in back:
        store.create(key, held.pop(key))
    return len(back)
