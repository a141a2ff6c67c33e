"""Which part of the time goes to git, to OPA, to signing and to fsync: functions are wrapped while a benchmark runs.

A part that runs inside another counts for itself alone, so the parts add up to what they took together.
"""

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from securesystemslib.signer import CryptoSigner

from reconciler.opa.server import OpaServer
from reconciler.pipeline import accepted, examine, loop
from reconciler.pipeline.notes import NoteExporter
from reconciler.pipeline.source import Mirror

PARTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "git": (
        (Mirror, "fetch"),
        (Mirror, "keep_accepted"),
        (NoteExporter, "catch_up"),
        (accepted, "export_objects"),
        (examine, "commits_between"),
        (examine, "diff_trees"),
        (examine, "write_tree"),
        (loop, "descends"),
        (loop, "judge_steps"),
    ),
    "OPA": ((OpaServer, "query"),),
    "signing": ((CryptoSigner, "sign"),),
    "fsync": ((os, "fsync"),),
}
"""Part → where its functions are looked up."""


@dataclass(frozen=True, slots=True)
class Span:
    """One call: of which part, from when to when (`time.perf_counter`), and seconds without what ran inside it."""

    part: str
    begin: float
    end: float
    own: float


@dataclass(slots=True)
class Timers:
    """The calls so far, from all threads."""

    spans: list[Span] = field(default_factory=list)
    _inside: threading.local = field(default_factory=threading.local)

    def between(self, begin: float, end: float) -> dict[str, float]:
        """Return the seconds of each part that passed between two instants; a call that outlasts the second counts up to it."""
        found = dict.fromkeys(PARTS, 0.0)
        for span in list(self.spans):
            overlap = min(span.end, end) - max(span.begin, begin)
            if overlap > 0:
                found[span.part] += span.own * overlap / max(span.end - span.begin, 1e-9)
        return found

    def wrapped(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that also notes how long it took."""

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            outer, begin = getattr(self._inside, "seconds", 0.0), time.perf_counter()
            self._inside.seconds = 0.0
            try:
                return function(*arguments, **named)
            finally:
                end = time.perf_counter()
                self.spans.append(Span(part, begin, end, end - begin - self._inside.seconds))
                self._inside.seconds = outer + end - begin

        return timed


@contextmanager
def timing() -> Iterator[Timers]:
    """Time the parts while the context lasts."""
    timers = Timers()
    kept = [(owner, name, getattr(owner, name)) for places in PARTS.values() for owner, name in places]
    for part, places in PARTS.items():
        for owner, name in places:
            setattr(owner, name, timers.wrapped(part, getattr(owner, name)))
    try:
        yield timers
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)
