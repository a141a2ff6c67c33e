"""Asking the probes of what fleets hold, each at its own period, for as long as the agent runs.

A thread of its own asks, one probe after the other, so that a slow answer holds up nothing else; it wakes the agent where a verdict
changes and touches nothing on disk. Whoever does not let it ask, reads that nobody does.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from agent.commands import Commands
from agent.health.probes import ask
from agent.health.seen import Seen, Verdict
from agent.host import Host
from agent.logs import timestamp
from agent.protocol import duration
from agent.protocol.errors import MalformedError
from agent.protocol.state import Probe

EAGER_SECONDS = 1.0
"""Between two looks at a probe that has not held yet: what starts within three seconds is said to be there after three, not after ten."""
FIRST_SECONDS = 1.0
"""For which a look waits for the first answers after a switch: a release that works is said to be applied in the same look."""
END_SECONDS = 10.0
"""For which the end of the agent waits for an answer that is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the probes of one fleet stand together, and why they don't hold."""

    verdict: Verdict
    why: str = ""


@dataclass(slots=True)
class _Asked:
    """One probe of what a fleet holds. `failures` are those in a row that count: one a period, and none within the grace."""

    probe: Probe
    grace: float
    """Until when failures don't count, by the clock."""
    due: float
    counted: float = float("-inf")
    failures: int = 0
    verdict: Verdict = "unknown"
    why: str = ""
    """Why it failed first, or as it turned: what is reported must not change with each look."""
    since: str = field(default_factory=timestamp)
    answered: bool = False

    def note(self, why: str | None, now: float) -> bool:
        """Take an answer; return whether the verdict changed."""
        self.answered, before = True, self.verdict
        every = _seconds(self.probe.every)
        if why is None:
            self.failures, self.why, self.verdict = 0, "", "holds"
        else:
            if now >= self.grace and now - self.counted >= every * 0.99:  # a timer that is early by a hair is no failure less
                self.failures, self.counted = self.failures + 1, now
            turns = self.failures >= self.probe.failures and before != "failed"
            self.why = why if turns or not self.why else self.why
            self.verdict = "failed" if turns else before
        every = max(every, EAGER_SECONDS)
        self.due = now + (min(every, EAGER_SECONDS) if self.verdict == "unknown" else every)
        self.since = timestamp() if before != self.verdict else self.since
        return before != self.verdict


class Prober:
    """Asks the probes of all fleets of one host; lives as long as the agent."""

    def __init__(self, host: Host, run: Commands, clock: Callable[[], float] = time.monotonic) -> None:
        self._host, self._run, self._clock = host, run, clock
        self._known: dict[str, tuple[int, tuple[Probe, ...], list[_Asked]]] = {}
        self._changed: dict[str, list[Seen]] = {}
        self._lock = threading.Lock()
        self._news, self._answer = threading.Event(), threading.Event()
        self._ends = True
        """Whether nobody asks, or soon nobody will."""
        self._thread: threading.Thread | None = None
        self._wake: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def asking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Ask within the block, and call `wake`, from another thread, where a verdict changes."""
        self._wake, self._ends = wake, False
        try:
            yield
        finally:
            self._ends = True
            self._news.set()
            if self._thread is not None:
                self._thread.join(END_SECONDS)
                self._thread = None

    def want(self, fleet: str, generation: int, probes: Sequence[Probe]) -> None:
        """From now on ask these probes of a fleet. What is known of them is forgotten where they, or the generation, are others."""
        with self._lock:
            known = self._known.get(fleet)
            if known is not None and known[:2] == (generation, tuple(probes)):
                return
            now = self._clock()
            asked = [_Asked(probe, now + _seconds(probe.grace), now) for probe in probes]
            self._known[fleet] = generation, tuple(probes), asked
        if asked and self._thread is None and not self._ends:  # a host without probes needs no thread for them
            self._thread = threading.Thread(target=self._ask_always, name="probes", daemon=True)
            self._thread.start()
        self._news.set()

    def forget(self, fleet: str) -> None:
        """Ask nothing more of a fleet."""
        with self._lock:
            self._known.pop(fleet, None)

    def keep(self, fleets: Collection[str]) -> None:
        """Ask nothing more of any other fleet."""
        for fleet in set(self._known) - set(fleets):
            self.forget(fleet)

    def standing(self, fleet: str) -> Standing | None:
        """Return how the probes of a fleet stand together; None where nobody asks them. Without any they hold."""
        if self._ends or fleet not in self._known:
            return None
        self._have_answers(fleet)
        with self._lock:
            asked = self._asked(fleet)
            failed = [one for one in asked if one.verdict == "failed"]
            unknown = [one for one in asked if one.verdict == "unknown"]
        if failed:
            return Standing(verdict="failed", why=f"probe {failed[0].probe.name}: {failed[0].why}")
        if unknown:
            return Standing(verdict="unknown", why=f"probe {unknown[0].probe.name}: {unknown[0].why or 'not answered yet'}")
        return Standing(verdict="holds")

    def seen(self, fleet: str) -> list[Seen]:
        """Return how each probe of a fleet stands."""
        with self._lock:
            return [_seen(one) for one in self._asked(fleet)]

    def changes(self, fleet: str) -> list[Seen]:
        """Return the verdicts of a fleet that changed since this was asked last."""
        with self._lock:
            return self._changed.pop(fleet, [])

    def _asked(self, fleet: str) -> list[_Asked]:
        return self._known[fleet][2] if fleet in self._known else []

    def _have_answers(self, fleet: str) -> None:
        """Wait a little for the first answers."""
        until = time.monotonic() + FIRST_SECONDS
        while any(not one.answered for one in self._asked(fleet)) and (left := until - time.monotonic()) > 0:
            self._answer.wait(left)
            self._answer.clear()

    def _ask_always(self) -> None:
        while not self._ends:
            with self._lock:
                soonest = min((one.due for _, _, asked in self._known.values() for one in asked), default=None)
            self._news.wait(None if soonest is None else max(0.0, soonest - self._clock()))
            self._news.clear()
            self._look()

    def _look(self) -> None:
        """Ask each probe that is due, once."""
        with self._lock:
            due = [(fleet, one) for fleet, (_, _, asked) in self._known.items() for one in asked if one.due <= self._clock()]
        for fleet, one in due:
            if self._ends:
                return
            why = ask(one.probe, host=self._host, run=self._run)
            with self._lock:
                changed = one.note(why, self._clock()) and one in self._asked(fleet)
                if changed:
                    self._changed.setdefault(fleet, []).append(_seen(one))
            self._answer.set()
            if changed:
                self._wake()


def _seconds(text: str) -> float:
    """Return the seconds of a probe's duration; one that is none is none to end the asking for."""
    try:
        return float(duration.seconds(text))
    except MalformedError:
        return 0.0


def _seen(one: _Asked) -> Seen:
    return Seen(name=one.probe.name, verdict=one.verdict, why=one.why, since=one.since)
