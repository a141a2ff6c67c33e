"""Processes that are started in order to be killed: at a named place, or at a random instant."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SHARE_AT_PLACES = 0.5
"""How many of the kills are at named places, the others at random instants."""
PASSES = (1, 1, 1, 2, 3)
"""At which pass of a place, one as likely as the other."""
PASSES_OF_WRITES = range(1, 60)
"""The same for places that each durable write passes: up to somewhere in a second or third change."""
LATEST = 120.0
"""Seconds within which any place is reached, even where the machine does much else."""


@dataclass(slots=True)
class Victim:
    """One process after the other by one command line; `after_death` is called between them.

    A random kill falls within `soon` seconds of the start; a place that was not reached by `late` is given up, and the next one gets
    longer. `then` names places that are only reached after a death at another one: place → the place to die at next.
    """

    name: str
    command: Callable[[], Sequence[str]]
    log: Path
    environment: dict[str, str]
    places: Sequence[str]
    chance: random.Random
    soon: float
    late: float
    after_death: Callable[[], None] = lambda: None
    then: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    place: str = ""
    due: float = 0.0
    kills: int = 0
    killed_at: dict[str, int] = field(default_factory=dict)
    fell: list[str] = field(default_factory=list)
    is_half_done: bool = False
    """Whether it is left to the next process to go on from where this one died, and die on the way."""

    def start(self) -> None:
        """Start the process with a plan of how it dies: places that were never died at come first."""
        after = self.then.get(self.place, "")
        self.place, passes = (after, 1) if after and self.is_half_done else self._choose()
        self.due = time.monotonic() + (self.late if self.place else self.chance.uniform(0.0, self.soon))
        self.is_half_done = False
        fault = f"{self.place}@{passes}" if self.place else ""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command()), stderr=log, stdout=log, env={**os.environ, **self.environment, "ORDAIN_FAULT": fault}
            )

    def _choose(self) -> tuple[str, int]:
        """Return the place to die at, and at which pass; no place for a random kill."""
        if not self.places or self.chance.random() > SHARE_AT_PLACES:
            return "", 0
        fresh = [place for place in self.places if place not in self.killed_at]
        place = self.chance.choice(fresh or self.places)
        if place.startswith("durable:"):
            return place, self.chance.choice(PASSES_OF_WRITES)
        return place, 1 if fresh else self.chance.choice(PASSES)

    def look(self) -> bool:
        """Kill the process if it is time, and see to it if it is dead; return whether it was killed."""
        if self.process is None:
            return False
        code = self.process.poll()
        if code is None:
            if time.monotonic() < self.due:
                return False
            self.process.send_signal(signal.SIGKILL)
            self.late = min(self.late * 1.5, LATEST) if self.place else self.late
            code, self.place = self.process.wait(), ""
        self.process = None
        if code != -signal.SIGKILL:
            self.fell.append(f"{self.name} ended by itself with {code}")
            return False
        self.kills += 1
        where = self.place or "random"
        self.killed_at[where] = self.killed_at.get(where, 0) + 1
        self.is_half_done = self.place in self.then and self.chance.random() < SHARE_AT_PLACES
        if not self.is_half_done:
            self.after_death()
        return True

    def end(self) -> None:
        """Kill the process, and count that as nothing."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.after_death()
