"""What is on disk of a release on trial, and of those that were taken back since the server could no longer be reached.

A trial is written down before the switch, so that whatever the release does to this host, and whenever that dies, the next start of the
agent knows what it came from. It counts only where its generation is the current one: else the switch did not happen.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from agent.apply.generations import Generations
from agent.disk import read_optional
from agent.protocol import codec, durable, faults
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct

PLACES = ("healing:after-trial",)
"""Where a crash test may kill the agent here."""
TRIES = 3
"""How often a release that cuts a host off is switched to: then it is bad here, until it is offered anew."""
REST_SECONDS = 60.0
"""Before a release that was taken back for silence is tried again, doubled each time: whoever watches the rollout has time to stop it."""
Cause = Literal["probes", "silence", "crashes"]


class Trial(Struct):
    """A release on trial: `generation` came after `previous`, 0 for none, under `key` (`Wanted.key`).

    It works once its probes held (`proven`), the server was reached (`heard`) where it was before (`contact`), and the agent itself
    lived on (`lived`). `silent` are the seconds for which it tried in vain to reach the server, `starts` those of the agent.
    """

    generation: int
    previous: int
    key: str
    contact: bool
    at: str
    proven: bool = False
    heard: bool = False
    lived: bool = False
    silent: int = 0
    starts: int = 0
    why: str = ""
    """Why it is being taken back; "" while it isn't."""
    cause: Cause = "probes"

    @property
    def works(self) -> bool:
        """Whether nothing is left to be seen."""
        return self.proven and self.lived and (self.heard or not self.contact)

    @property
    def awaits_contact(self) -> bool:
        """Whether the server must be reached, and was not."""
        return self.contact and not self.heard


class Cut(Struct):
    """A release that was taken back for silence: how often, when last (seconds since the epoch), and what was said of it."""

    key: str
    times: int
    at: int
    why: str


T = TypeVar("T", Trial, Cut)


@dataclass(frozen=True, slots=True)
class Trials:
    """The trial of one fleet, in its directory."""

    directory: Path

    def read(self) -> Trial | None:
        """Return the fleet's trial, None if there is none; one that a disk damaged is none, for what runs must be looked after."""
        return self._known("trial.json", Trial)

    def write(self, trial: Trial) -> None:
        """Keep a trial as it stands now."""
        durable.replace(self.directory / "trial.json", codec.canonical(trial), mode=0o600)

    def begin(self, generation: int, *, key: str, contact: bool, at: str) -> None:
        """Put a release on trial, right before the switch to its generation.

        What came before is the newest generation that worked: one that is itself on trial is none.
        """
        generations = Generations(self.directory)
        pointer, running = generations.pointer(), self.read()
        previous = pointer.generation if pointer is not None else 0
        unproven = running is not None and running.generation == previous and not running.proven
        if running is not None and unproven and running.previous in {0, *generations.numbers()}:
            previous = running.previous
        self.write(Trial(generation=generation, previous=previous, key=key, contact=contact, at=at))
        faults.reached("healing:after-trial")

    def end(self) -> None:
        """Forget the trial."""
        if (self.directory / "trial.json").exists():
            durable.remove(self.directory / "trial.json")

    # Releases that cut the host off

    def cut(self) -> Cut | None:
        """Return which release was taken back for silence last."""
        return self._known("cut.json", Cut)

    def _known(self, name: str, kind: type[T]) -> T | None:
        try:
            return read_optional(self.directory / name, kind)
        except MalformedError:
            return None

    def note_cut(self, key: str, why: str) -> Cut:
        """Remember that a release was taken back for silence; return how often by now."""
        known = self.cut()
        times = known.times + 1 if known is not None and known.key == key else 1
        cut = Cut(key=key, times=times, at=int(time.time()), why=why)
        durable.replace(self.directory / "cut.json", codec.canonical(cut), mode=0o600)
        return cut

    def rests(self, key: str, *, told: bool) -> str | None:
        """Return why a release is not tried again yet, None if it may be: the server is `told`, and had time to think better of it."""
        known = self.cut()
        if known is None or known.key != key:
            return None
        rested = abs(time.time() - known.at) >= REST_SECONDS * 2 ** (known.times - 1)
        return None if told and rested else known.why
