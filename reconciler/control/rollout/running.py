"""A tally that is kept: hosts are judged anew when something new is known of them, and when time changes what they show.

It says what `evidence.tally` says of the same hosts at the same time; a look at it costs what changed, not what is known.
"""

import heapq
from collections import Counter
from collections.abc import Container
from datetime import datetime

from reconciler.control.rollout.evidence import NAMED, Host, Tally, Terms, Verdict, judge, told


class Running:
    """What hosts show: of all that were admitted, and of those among them whom the last wave newly reached."""

    def __init__(self, terms: Terms, joining: Container[str]) -> None:
        """`joining` are the names of those whom the last wave newly reached."""
        self._terms, self._joining = terms, joining
        self._hosts: dict[str, Host] = {}
        self._shown: dict[str, tuple[Verdict, datetime | None]] = {}
        self._due: list[tuple[datetime, str]] = []
        """A heap of when verdicts change; one that no longer holds is passed over when it comes up."""
        self._counts: tuple[Counter[Verdict], Counter[Verdict]] = (Counter(), Counter())
        self._failed: set[str] = set()

    def get(self, name: str) -> Host | None:
        """Return what is known of an admitted host, None where it was not admitted."""
        return self._hosts.get(name)

    def put(self, host: Host, now: datetime) -> None:
        """Take in what is known of a host, for the first time or anew."""
        self._hosts[host.name] = host
        self._judge(host, now)

    def tallies(self, now: datetime) -> tuple[Tally, Tally]:
        """Return what those show at `now` whom the last wave newly reached, and what all show that were admitted."""
        while self._due and (self._due[0][0] <= now or self._is_over(*self._due[0])):
            due, name = heapq.heappop(self._due)
            if not self._is_over(due, name):
                self._judge(self._hosts[name], now)
        soonest = self._due[0][0] if self._due else None
        joining = {name for name in self._failed if name in self._joining}
        return self._tally(0, joining, soonest), self._tally(1, self._failed, soonest)

    def _judge(self, host: Host, now: datetime) -> None:
        shown = judge(host, self._terms, now)
        before = self._shown.get(host.name)
        self._shown[host.name] = shown
        if shown[1] is not None and (before is None or before[1] != shown[1]):
            heapq.heappush(self._due, (shown[1], host.name))
        if before is None or before[0] != shown[0]:
            self._count(host.name, before[0] if before else None, shown[0])

    def _count(self, name: str, before: Verdict | None, now: Verdict) -> None:
        for counts in self._counts if name in self._joining else self._counts[1:]:
            counts[now] += 1
            if before is not None:
                counts[before] -= 1
        if now is Verdict.FAILED:
            self._failed.add(name)
        else:
            self._failed.discard(name)

    def _is_over(self, due: datetime, name: str) -> bool:
        return self._shown[name][1] != due

    def _tally(self, whose: int, failed: set[str], due: datetime | None) -> Tally:
        counts = {verdict.value: self._counts[whose][verdict] for verdict in Verdict}
        names = tuple(told(self._hosts[name]) for name in heapq.nsmallest(NAMED, failed))
        return Tally(**counts, names=names, due=due)
