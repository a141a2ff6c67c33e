"""Telling the server: at once what is new, and else that this host is there.

A batch has a number and is sent until the server says that it keeps it; meanwhile what happens waits for the next one. After a start
the first batch is whole: what the server knew of this host before, nobody here remembers.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from agent.apply.generations import Generations
from agent.disk import Disk, read_optional
from agent.fetching.backoff import Backoff
from agent.fetching.fetcher import Http
from agent.fetching.refusal import NotGrantedError
from agent.fetching.tls import LapsedError
from agent.logs import Log, timestamp
from agent.protocol import codec, durable, report
from agent.protocol.errors import MalformedError, OrdainError, RetryError
from agent.protocol.report import Acknowledged, Batch, FleetReport, Receipt, SignedReceipt, Usage
from agent.protocol.state import Struct
from agent.reporting import facts
from agent.reporting.spool import TEXT_LIMIT, Spool, Taken
from agent.reporting.status import FleetStatus, StatusBook, Trouble

EVERY = 60
"""Seconds between reports until the server says otherwise."""
EVERY_LIMIT = 86_400
ANSWER_LIMIT = 4096
AT_ONCE = 20
"""Batches of one round: the rest of a long silence waits for the next, so that this host is looked after in between."""
WARNINGS = 10
FEW = 8
SHORT = 250
"""Characters of a text where many fleets have something to say."""
PROBLEMS = 50


class Reported(Struct):
    """The number of the last report."""

    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the server knows of this host as it stands, apart from receipts and events."""

    statuses: dict[str, FleetReport] = field(default_factory=dict)
    facts: dict[str, object] | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A batch on its way, and what of this host it tells."""

    batch: Batch
    data: bytes
    taken: Taken
    told: _Told


class Reporter:
    """Tells one server of one host. `sign` signs receipts as `certificate` says; `lapsed` is told that the certificate was not believed.

    `carry` makes of a batch's bytes a `SignedBatch`, for a relay to carry. `usage` returns what a fleet's newest release uses.
    """

    def __init__(
        self,
        *,
        server: str,
        http: Http,
        spool: Spool,
        version: str,
        sign: Callable[[Receipt], SignedReceipt],
        carry: Callable[[bytes], bytes],
        lapsed: Callable[[], None],
        usage: Callable[[str], Usage | None],
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem = ""
        """Why the server does not take reports, for `status`; "" where it does, or is only away."""
        self._url = f"{server}/v1/reports"
        self._http, self._spool, self._version, self._log = http, spool, version, log
        self._disk: Disk = spool.disk
        self._sign, self._carry, self._lapsed, self._clock = sign, carry, lapsed, clock
        self._usage = usage
        self._book = StatusBook(self._disk)
        self._backoff = Backoff(clock)
        self._told: _Told | None = None
        """None before the first report, and where the server asks for a whole one."""
        self._sent: _Sent | None = None
        self._last = float("-inf")
        self._every = EVERY
        self._brief = False
        self._carried = False
        """Whether a relay answers, which takes what is signed as a whole."""
        self._sequence = _read_sequence(self._disk)

    def reported(self) -> int:
        """Return the number of the last report that the server keeps."""
        return self._sequence - (self._sent is not None)

    def seconds(self) -> float:
        """Return the seconds until something must be sent even if nothing happens."""
        return max(self._backoff.seconds(), self._last + self._every - self._clock())

    def hear(self, *, every: int, brief: bool, whole: bool) -> None:
        """Go on as the server says: seconds between reports, whether heartbeats are enough, whether it wants to know all anew."""
        self._every = min(max(every, 1), EVERY_LIMIT)
        self._brief = brief
        if whole:
            self._told = None
            self._last = float("-inf")

    def reached(self, *, carried: bool) -> None:
        """Note who answers: a relay, which only carries what is signed (`carried`), or the server itself."""
        self._carried = carried

    def again(self) -> None:
        """Report again at once, whatever was refused: this host has another certificate now."""
        self._backoff.worked()
        self.problem = ""

    def report(self) -> None:
        """Send what there is to say, or that there is nothing if it is time for that; what can't be sent is sent later.

        Raises:
            MalformedError, OSError: what waits on disk can't be read or written.
        """
        for _ in range(AT_ONCE):
            if self._backoff.seconds() > 0:
                return
            sent = self._sent = self._sent or self._next()
            if sent is None or not self._send(sent):
                return

    def _next(self) -> _Sent | None:
        """Return the next batch, None where there is nothing to say yet."""
        due = self._clock() >= self._last + self._every
        if self._brief:
            return self._numbered({}, Taken(), self._told or _Told()) if due else None
        taken, told = self._spool.take(), self._standing()
        changed = _changed(self._told, told)
        if not (due or taken or changed):
            return None
        receipts = [self._sign(receipt) for receipt in taken.receipts]
        return self._numbered({"receipts": receipts, "events": list(taken.events), "dropped": taken.dropped, **changed}, taken, told)

    def _numbered(self, content: dict[str, object], taken: Taken, told: _Told) -> _Sent:
        self._sequence += 1
        durable.replace(self._disk.reported, codec.canonical(Reported(sequence=self._sequence)), mode=0o600, lasting=bool(taken))
        plain = Batch(format=report.FORMAT, sequence=self._sequence, sent_at=timestamp(), version=self._version)
        batch = msgspec.structs.replace(plain, **content)
        return _Sent(batch=batch, data=codec.canonical(batch), taken=taken, told=told)

    def _send(self, sent: _Sent) -> bool:
        """Send a batch; return whether it is kept, so that another may follow."""
        try:
            data = self._http.post(self._url, self._carry(sent.data) if self._carried else sent.data, limit=ANSWER_LIMIT)
            answer = codec.decode(data, Acknowledged, what=self._url, limit=ANSWER_LIMIT)
        except (RetryError, MalformedError) as error:
            self._failed(sent, error)
            return False
        self._backoff.worked()
        self.problem = ""
        if answer.sequence < sent.batch.sequence:
            self._backoff.failed(RetryError(""))
            return False
        self._last, self._sent = self._clock(), None
        if answer.sequence > sent.batch.sequence:  # this host lost count: it goes on above, and tells everything anew
            self._sequence = answer.sequence
            self.hear(every=answer.every, brief=answer.brief, whole=True)
            return True
        self._spool.settle(sent.taken)
        self._told = self._told if self._brief and not sent.batch.whole else sent.told
        self.hear(every=answer.every, brief=answer.brief, whole=answer.report)
        return sent.taken.more or answer.report

    def _failed(self, sent: _Sent, error: OrdainError) -> None:
        self._backoff.failed(error)
        self._log.step("unreported", sequence=sent.batch.sequence, why=str(error))
        if isinstance(error, LapsedError) or (isinstance(error, NotGrantedError) and error.code == "unauthenticated"):
            self._lapsed()
        if not isinstance(error, NotGrantedError) or error.overloaded or error.status >= 500:  # noqa: PLR2004 - the server's own faults
            return
        self.problem = f"the server takes no reports of this host: {error.said}"
        if error.code in ("malformed", "too-much"):  # the same again would never be taken
            self._sent = None
            self._spool.settle(Taken(events=sent.taken.events))

    def _standing(self) -> _Told:
        """Return how this host stands now."""
        fleets = self._disk.shown_fleets()[: report.STATUSES_LIMIT]
        cut = TEXT_LIMIT if len(fleets) <= FEW else SHORT
        known = ((fleet, self._book.read(fleet)) for fleet in fleets)
        noted, trouble = facts.read(self._disk), read_optional(self._disk.trouble, Trouble)
        return _Told(
            statuses={fleet: _status(self._disk, fleet, status, cut, self._usage(fleet)) for fleet, status in known if status is not None},
            facts=None if noted is None else msgspec.to_builtins(noted.facts),
            problems=tuple(_cut(trouble.problems if trouble else (), PROBLEMS, TEXT_LIMIT)),
        )


def _changed(old: _Told | None, new: _Told) -> dict[str, object]:
    """Return those fields of a batch that say what is new."""
    if old is None:
        whole = {"statuses": list(new.statuses.values()), "problems": list(new.problems), "whole": True}
        return whole | ({"facts": new.facts} if new.facts is not None else {})
    found: dict[str, object] = {
        "statuses": [status for fleet, status in new.statuses.items() if old.statuses.get(fleet) != status],
        "gone": sorted(set(old.statuses) - set(new.statuses)),
        "facts": new.facts if new.facts != old.facts else None,
        "problems": list(new.problems) if new.problems != old.problems else None,
    }
    return {name: value for name, value in found.items() if value not in ([], None) or (name == "problems" and value == [])}


def _status(disk: Disk, fleet: str, status: FleetStatus, cut: int, usage: Usage | None) -> FleetReport:
    generations = Generations(disk.fleet(fleet))
    meta = generations.current()
    runs = {} if meta is None else {name: getattr(meta, name) for name in ("digest", "members", "group", "mode", "generation", "commit")}
    return FleetReport(
        fleet=fleet,
        result=status.result,
        why=status.why[:cut],
        since=status.since,
        desired=status.digest,
        attempt=status.attempt,
        serial=status.serial,
        held=generations.hold() is not None,
        unheard=status.unheard[:cut],
        drift=len(status.drift),
        warnings=_cut(status.warnings, WARNINGS, cut),
        usage=usage,
        **runs,
    )


def _cut(texts: Iterable[str], count: int, length: int) -> list[str]:
    return [text[:length] for text in list(texts)[:count]]


def _read_sequence(disk: Disk) -> int:
    try:
        known = read_optional(disk.reported, Reported)
    except MalformedError:  # the server says how it goes on
        return 0
    return known.sequence if known else 0
