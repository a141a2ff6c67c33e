"""Processes that are started in order to be killed: at a named place, or at a random instant."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SHARE_AT_PLACES = 0.5
"""How many of the kills are at named places, the others at random instants."""
PASSES = (1, 1, 1, 2, 3)
"""At which pass of a place, one as likely as the other."""


@dataclass(slots=True)
class Victim:
    """One process after the other by one command line; `after_death` is called between them.

    A random kill falls within `soon` seconds of the start; a place that was not reached by `late` is given up.
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
    process: "subprocess.Popen[bytes] | None" = None
    place: str = ""
    due: float = 0.0
    kills: int = 0
    killed_at: dict[str, int] = field(default_factory=dict)
    fell: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start the process with a plan of how it dies: places that were never died at come first."""
        at_place = bool(self.places) and self.chance.random() < SHARE_AT_PLACES
        fresh = [place for place in self.places if place not in self.killed_at]
        self.place = self.chance.choice(fresh or self.places) if at_place else ""
        self.due = time.monotonic() + (self.late if at_place else self.chance.uniform(0.0, self.soon))
        fault = f"{self.place}@{self.chance.choice(PASSES) if not fresh else 1}" if at_place else ""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command()), stderr=log, stdout=log, env={**os.environ, **self.environment, "ORDAIN_FAULT": fault}
            )

    def look(self) -> bool:
        """Kill the process if it is time, and see to it if it is dead; return whether it was killed."""
        if self.process is None:
            return False
        code = self.process.poll()
        if code is None:
            if time.monotonic() < self.due:
                return False
            self.process.send_signal(signal.SIGKILL)
            code, self.place = self.process.wait(), ""
        self.process = None
        if code != -signal.SIGKILL:
            self.fell.append(f"{self.name} ended by itself with {code}")
            return False
        self.kills += 1
        where = self.place or "random"
        self.killed_at[where] = self.killed_at.get(where, 0) + 1
        self.after_death()
        return True

    def end(self) -> None:
        """Kill the process, and count that as nothing."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.after_death()
