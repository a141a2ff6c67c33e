"""What a fleet's processes and services use, before a release was switched to and after: for the gates of its rollout.

Nothing is measured at rest. Before is what they used on average since they were started, looked at as the switch begins. After is told
at times that double, so that a release costs a few reports and a host at rest says nothing.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent.disk import Disk, read_optional
from agent.protocol import codec, durable
from agent.protocol.errors import MalformedError, OrdainError
from agent.protocol.report import Usage, Used
from agent.protocol.state import Struct
from agent.reporting.running import Running, running

FIRST = 30
"""Seconds after a release was applied until its use is measured first: what a start costs says little of what comes."""
DOUBLINGS = 8
"""Times at which it is measured again, each twice as late: 30 s, 1 min, … a little over two hours."""
STARTS_LIMIT = 100
"""Processes and services of one fleet whose start is remembered."""


class Mark(Struct):
    """Where one process or service stood when a release was switched to; `spent` is processor time in milliseconds."""

    since: str
    spent: int
    restarts: int


class Noted(Struct):
    """What is remembered of a release: when the switch to it began, and what was used before. `startup` is in milliseconds."""

    digest: str
    attempt: int
    at: str
    before: Used | None
    marks: dict[str, Mark]
    startup: int | None = None


class UsageBook:
    """Measures by fleet; `look` returns what runs on this host, `now` the time."""

    def __init__(
        self,
        disk: Disk,
        root: Path,
        *,
        look: Callable[[Disk, Path], Sequence[Running]] = running,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._disk, self._root, self._look = disk, root, look
        self._now = now
        self._told: dict[str, tuple[Noted, int, Usage]] = {}

    def begin(self, fleet: str, *, digest: str, attempt: int) -> None:
        """Note what a fleet uses, as the switch to a release begins; what can't be told is left out, and stops nothing."""
        now, rows = self._now(), self._rows(fleet)
        former = self._read(fleet)
        if former is not None and (former.digest, former.attempt) == (digest, attempt):
            return  # tried again: what was before the first try counts
        before = _used(rows, {}, None, now) if rows else None
        if before is not None and former is not None and former.startup is not None:
            before = Used(cpu=before.cpu, memory=before.memory, restarts=0, startup=former.startup)
        marks = {f"{row.kind}/{row.name}": Mark(since=row.since, spent=_spent(row), restarts=row.restarts) for row in rows[:STARTS_LIMIT]}
        self._write(fleet, Noted(digest=digest, attempt=attempt, at=_fine(now), before=before, marks=marks))

    def applied(self, fleet: str, *, digest: str, attempt: int) -> None:
        """Note that a release's probes hold, if that is news: how long it took from the switch on."""
        noted = self._read(fleet)
        if noted is None or (noted.digest, noted.attempt) != (digest, attempt) or noted.startup is not None:
            return
        took = round((self._now() - datetime.fromisoformat(noted.at)).total_seconds() * 1000)
        self._write(fleet, msgspec.structs.replace(noted, startup=max(0, took)))

    def usage(self, fleet: str) -> Usage | None:
        """Return what a fleet uses as it was measured last, and measure where that is due; None before there is anything to say."""
        noted = self._read(fleet)
        if noted is None or noted.startup is None:
            return None
        seconds = max(0, int((self._now() - datetime.fromisoformat(noted.at)).total_seconds()))  # a clock may be set back in between
        due = min((seconds // FIRST).bit_length(), DOUBLINGS + 1)
        told = self._told.get(fleet)
        if told is not None and told[:2] == (noted, due):
            return told[2]
        if due <= 0:
            return None
        after = _used(self._rows(fleet), noted.marks, noted, self._now())
        found = Usage(digest=noted.digest, attempt=noted.attempt, seconds=seconds, before=noted.before, after=after)
        self._told[fleet] = (noted, due, found)
        return found

    def _rows(self, fleet: str) -> list[Running]:
        try:
            return [row for row in self._look(self._disk, self._root) if row.fleet == fleet]
        except (OrdainError, OSError):
            return []

    def _read(self, fleet: str) -> Noted | None:
        try:
            return read_optional(self._path(fleet), Noted)
        except MalformedError:
            return None

    def _write(self, fleet: str, noted: Noted) -> None:
        durable.replace(self._path(fleet), codec.canonical(noted), mode=0o600, lasting=False)

    def _path(self, fleet: str) -> Path:
        return self._disk.fleet(fleet) / "usage.json"


def _used(rows: Sequence[Running], marks: dict[str, Mark], noted: Noted | None, now: datetime) -> Used:
    """Return what rows use: processor time on average since the switch, or since each was started where that is later."""
    return Used(
        cpu=sum(_cpu(row, marks.get(f"{row.kind}/{row.name}"), noted, now) for row in rows),
        memory=sum(row.rss_bytes or 0 for row in rows),
        restarts=sum(_restarts(row, marks.get(f"{row.kind}/{row.name}")) for row in rows),
        startup=noted.startup if noted is not None else None,
    )


def _cpu(row: Running, mark: Mark | None, noted: Noted | None, now: datetime) -> int:
    """Return thousandths of a core."""
    if row.cpu_seconds is None or not row.since:
        return 0
    same = mark is not None and mark.since == row.since and noted is not None
    spent = _spent(row) - (mark.spent if mark is not None and same else 0)
    began = noted.at if noted is not None and same else row.since
    return max(0, round(spent / max(1.0, (now - datetime.fromisoformat(began)).total_seconds())))


def _restarts(row: Running, mark: Mark | None) -> int:
    before = mark.restarts if mark is not None and row.restarts >= mark.restarts else 0
    return row.restarts - before


def _spent(row: Running) -> int:
    return round((row.cpu_seconds or 0) * 1000)


def _fine(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
