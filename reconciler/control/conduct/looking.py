"""What the hosts of an attempt show, kept between looks, so that a look costs what is new and not what is known.

Between whole readings only new receipts are read, and who says that the release no longer stands. That tells when something is about to
move; what moves a rollout is read anew, all of it, in the transaction that decides. What is kept may be late, and never wrong for long.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from reconciler.control.conduct.due import ModeOf
from reconciler.control.conduct.hosts import NOTHING, newer, newest_receipts, read_hosts, read_unwell
from reconciler.control.conduct.planning import Admitted
from reconciler.control.rollout.evidence import Host, Tally, Terms
from reconciler.control.rollout.running import Running

KEPT = 256
"""Attempts that are kept, one for each fleet that is under way: some 500 bytes for each host that it admitted."""
REST_FACTOR = 20
"""A whole reading rests for this many times as long as it took: at most a twentieth of a core. A few hosts are read at each look."""
RESTS_AT_MOST = timedelta(seconds=30)
"""However long it took: who is heard of at the end of its soak is known of no later."""
OVERLAP = 200
"""Receipts before the last that are read again: two copies of `serve` may write them in another order than that of their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Whose evidence: `stage` tells apart what is admitted, and in which modes, so that another one is another reading."""

    tenant: str
    fleet: str
    digest: str
    number: int
    terms: Terms
    stage: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """The hosts that were admitted, and in which mode each should be."""

    who: Admitted
    due: ModeOf


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What hosts show: those whom the last wave newly reached, and all that were admitted."""

    joining: Tally
    admitted: Tally


NOTHING_SHOWN = Shown(joining=Tally(), admitted=Tally())


@dataclass(slots=True, kw_only=True)
class _Kept:
    attempt: Attempt
    running: Running
    read_at: datetime
    until: datetime
    """When all is read anew."""
    last: int
    """The last receipt that was read."""
    due: ModeOf
    unwell: set[str]
    turn: int


class Looking:
    """What is known of the attempts under way; for one process that leads."""

    def __init__(self) -> None:
        """Nothing is kept before it is asked for."""
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def look(self, connection: Connection, attempt: Attempt, whose: Callable[[], Whose], now: datetime, *, turn: int, anew: bool) -> Shown:
        """Return what the hosts of an attempt show at `now`; `whose` is called only where all of it is read, as `anew` demands.

        `turn` numbers transactions: what was read whole in one is not read again in it.
        """
        place = (attempt.tenant, attempt.fleet)
        kept = self._kept.get(place)
        old = kept is None or kept.attempt != attempt or not kept.read_at <= now < kept.until or (anew and kept.turn != turn)
        if kept is None or old:
            kept = self._kept[place] = _read(connection, attempt, whose(), now, turn)
        elif kept.turn != turn:
            _catch_up(connection, kept, now)
        self._kept.move_to_end(place)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        joining, admitted = kept.running.tallies(now)
        return Shown(joining=joining, admitted=admitted)

    def forget(self, tenant: str, fleet: str) -> None:
        """Drop what was kept of a fleet: nothing of it is under way."""
        self._kept.pop((tenant, fleet), None)


def _read(connection: Connection, attempt: Attempt, whose: Whose, now: datetime, turn: int) -> _Kept:
    began = time.perf_counter()
    wanted, who = (attempt.tenant, attempt.fleet, attempt.digest), whose.who
    unwell = read_unwell(connection, *wanted)
    said, last = newest_receipts(connection, *wanted, attempt.number, due=whose.due)
    known = read_hosts(connection, attempt.tenant, attempt.fleet, said=said, unwell=unwell, names=who.names)
    running = Running(attempt.terms, who.joining)
    for name in who.names:
        running.put(known.get(name) or Host(name=name), now)
    until = now + min(timedelta(seconds=REST_FACTOR * (time.perf_counter() - began)), RESTS_AT_MOST)
    return _Kept(attempt=attempt, running=running, read_at=now, until=until, last=last, due=whose.due, unwell=unwell, turn=turn)


def _catch_up(connection: Connection, kept: _Kept, now: datetime) -> None:
    wanted = (kept.attempt.tenant, kept.attempt.fleet, kept.attempt.digest)
    unwell = read_unwell(connection, *wanted)
    after = max(NOTHING, kept.last - OVERLAP)
    said, kept.last = newest_receipts(connection, *wanted, kept.attempt.number, due=kept.due, after=after)
    for name in said.keys() | (unwell ^ kept.unwell):
        host = kept.running.get(name)
        if host is not None:
            newest = newer(host.said, said[name]) if name in said else host.said
            kept.running.put(replace(host, said=newest, well=name not in unwell), now)
    kept.unwell = unwell
