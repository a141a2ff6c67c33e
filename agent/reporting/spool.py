"""What is still to be told of this host: receipts of what came of releases, and events. On disk until the server has it for good.

Statuses, facts and problems need no spool: they stand on disk as they are, and what changed since the last report follows from them.
Within a bound: the oldest events go first, counted, receipts only when no event is left. A receipt that says what its fleet's last one
said is none. Whoever records or notes holds `step.lock`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from agent.disk import Disk, read_optional
from agent.logs import timestamp
from agent.protocol import codec, durable, faults, report
from agent.protocol.report import Difference, Event, Receipt
from agent.protocol.state import Struct

PLACES = ("spool:after-record", "spool:before-settle")
"""Where a crash test may kill the agent here."""
FORMAT = 1
LIMIT = 512 * 1024
"""Bytes of what waits: a thousand receipts, months of changes without contact."""
TEXT_LIMIT = 2000
"""Characters of one reason: a check's output is cut before it fills a spool."""
LOCK_SECONDS = 60.0
RECEIPTS_BYTES, EVENTS_BYTES = 400 * 1024, 128 * 1024
"""Of what goes into one batch, so that it stays below the bound of one (`report.BATCH_LIMIT`) with signatures and statuses."""


T = TypeVar("T", Receipt, Event)


class Waiting(Struct):
    """Oldest first. `last` is fleet (`<tenant>/<fleet>`) → its newest receipt, told or not."""

    format: int = FORMAT
    receipts: list[Receipt] = []
    events: list[Event] = []
    dropped: int = 0
    last: dict[str, Receipt] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What goes into a batch, oldest first; `more` is whether something is left for the next."""

    receipts: Sequence[Receipt] = ()
    events: Sequence[Event] = ()
    dropped: int = 0
    more: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.receipts or self.events or self.dropped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """What waits on one host; `limit` in bytes."""

    disk: Disk
    limit: int = LIMIT

    def read(self) -> Waiting:
        """Return what waits; raise `MalformedError` if that is damaged."""
        return read_optional(self.disk.spool, Waiting) or Waiting()

    def record(self, receipt: Receipt) -> None:
        """Keep a receipt, unless the fleet's last one says the same already."""
        known = self.read()
        receipt = msgspec.structs.replace(receipt, why=receipt.why[:TEXT_LIMIT])
        last = known.last.get(receipt.fleet)
        if last is not None and _said(last) == _said(receipt):
            return
        self._write(
            msgspec.structs.replace(known, receipts=[*known.receipts, receipt], last={**known.last, receipt.fleet: receipt}), lasting=True
        )
        faults.reached("spool:after-record")

    def note(self, kind: str, *, fleet: str = "", path: str = "", text: str = "", drift: Difference | None = None) -> None:
        """Keep an event as of now, where there is somebody to tell."""
        if not self.disk.joining.is_dir():
            return
        known = self.read()
        event = Event(kind=kind, at=timestamp(), fleet=fleet, path=path[:TEXT_LIMIT], text=text[:TEXT_LIMIT], drift=drift)
        self._write(msgspec.structs.replace(known, events=[*known.events, event]), lasting=False)

    def take(self) -> Taken:
        """Return the oldest of what waits, as much as fits into a batch. It stays here until it is settled."""
        known = self.read()
        receipts = _first(known.receipts, report.RECEIPTS_LIMIT, RECEIPTS_BYTES)
        events = _first(known.events, report.EVENTS_LIMIT, EVENTS_BYTES)
        more = len(receipts) < len(known.receipts) or len(events) < len(known.events)
        return Taken(receipts=receipts, events=events, dropped=known.dropped, more=more)

    def settle(self, taken: Taken) -> None:
        """Forget what the server now keeps for good; raise `RetryError` if somebody else is at work on this host for long."""
        if not taken:
            return
        faults.reached("spool:before-settle")
        with self.disk.lock("step", wait=LOCK_SECONDS, refused="what was told is forgotten later"):
            known = self.read()
            self._write(
                msgspec.structs.replace(
                    known,
                    receipts=_without(known.receipts, taken.receipts),
                    events=_without(known.events, taken.events),
                    dropped=max(0, known.dropped - taken.dropped),
                ),
                lasting=True,
            )

    def _write(self, waiting: Waiting, *, lasting: bool) -> None:
        waiting = fitted(waiting, self.limit)
        durable.replace(self.disk.spool, codec.canonical(waiting), mode=0o600, lasting=lasting or bool(waiting.receipts))


def fitted(waiting: Waiting, limit: int) -> Waiting:
    """Return what stays of it within `limit` bytes: the oldest events go first, and receipts when there are none."""
    over = sum(map(_size, waiting.receipts)) + sum(map(_size, waiting.events)) - limit
    if over <= 0:
        return waiting
    gone = {"events": 0, "receipts": 0}
    for name in ("events", "receipts"):
        for one in getattr(waiting, name):
            if over <= 0:
                break
            over -= _size(one)
            gone[name] += 1
    return msgspec.structs.replace(
        waiting,
        events=waiting.events[gone["events"] :],
        receipts=waiting.receipts[gone["receipts"] :],
        dropped=waiting.dropped + gone["events"] + gone["receipts"],
    )


def _first(items: list[T], count: int, size: int) -> list[T]:
    found: list[T] = []
    for item in items[:count]:
        size -= _size(item)
        if size < 0 and found:
            break
        found.append(item)
    return found


def _without(items: list[T], gone: Sequence[T]) -> list[T]:
    """Return items without the oldest of each that is gone; one that was dropped meanwhile is no longer among them."""
    left = list(gone)
    kept = []
    for item in items:
        if item in left:
            left.remove(item)
        else:
            kept.append(item)
    return kept


def _size(item: Struct) -> int:
    return len(codec.canonical(item)) + 1


def _said(receipt: Receipt) -> tuple[str | int | None, ...]:
    return receipt.digest, receipt.group, receipt.mode, receipt.attempt, receipt.generation, receipt.result, receipt.why
