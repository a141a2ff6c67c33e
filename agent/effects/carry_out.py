"""Carrying effects out, one after the other. What fails is said of its fleet and tried again later; the others go on.

What waits for something that doesn't run isn't started: it would only fail where nobody looks for the reason.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.commands import Commands
from agent.effects.order import PROCESS
from agent.effects.plan import Effect
from agent.health.marks import Marks
from agent.logs import Log
from agent.processes.interface import Processes, Seen
from agent.protocol import duration
from agent.protocol.errors import OrdainError, RetryError
from agent.protocol.faults import reached
from agent.protocol.state import Action

PLACES = ("agent:before-effect", "agent:after-effect")
"""Where a crash test may kill the agent here: around each effect."""
SETTLE_SECONDS = 0.5
"""A program that can't read its configuration ends within this; one that takes longer is noticed at the next look."""
TICK = 0.05
DOWN = ("waiting", "looping")
"""A process that stands like this is wanted, has been started, and doesn't run."""


@dataclass(slots=True, kw_only=True)
class Carrier:
    """Carries effects out; lives as long as the agent, for what it remembers of failures."""

    processes: Processes
    run: Commands
    log: Log
    stopping: Callable[[], bool]
    marks: Marks = field(default_factory=Marks)
    failed: dict[Effect, str] = field(default_factory=dict)
    """Effects that failed and wait for their next try, with what was said."""

    def carry_out(
        self,
        effects: Iterable[Effect],
        *,
        after: Mapping[str, Sequence[str]],
        actions: Mapping[tuple[str, str], Action],
        ran: Callable[[Effect], None],
        bring: Callable[[str], None],
    ) -> dict[str, list[str]]:
        """Carry effects out in order, and return fleet → what went wrong.

        `after` is the graph, `actions` is (fleet, name) → action, `ran` notes an action that succeeded, `bring` brings a unit to
        what its release says.
        """
        troubles: dict[str, list[str]] = defaultdict(list)
        down = {f"{PROCESS}{name}" for name, one in self.processes.look().items() if one.standing in DOWN}
        listed = list(effects)
        self.failed = {effect: said for effect, said in self.failed.items() if effect in listed}
        for effect in listed:
            if self.stopping():
                break
            why = self._waits(effect, down, after) or self._tried(effect, actions, ran, bring)
            if why is None:
                down.discard(effect.resource)
            else:
                down.add(effect.resource)
                troubles[effect.fleet].append(why)
        self._settle([effect.name for effect in listed if effect.kind in ("start", "restart")])
        return troubles

    def _waits(self, effect: Effect, down: set[str], after: Mapping[str, Sequence[str]]) -> str | None:
        """Return what of that which it starts after doesn't run, as a sentence; None if all of it does."""
        missing = [name for name in after.get(effect.resource, ()) if name in down]
        return f"{effect.resource}: waits for {missing[0]}, which does not run" if missing and effect.kind != "stop" else None

    def _tried(
        self, effect: Effect, actions: Mapping[tuple[str, str], Action], ran: Callable[[Effect], None], bring: Callable[[str], None]
    ) -> str | None:
        """Carry one effect out, unless it failed lately; return what went wrong."""
        key = f"{effect.kind} {effect.resource} of {effect.fleet}: {effect.digest}"
        if effect in self.failed and self.marks.is_waiting(key):
            return self.failed[effect]
        reached("agent:before-effect")
        try:
            self._one(effect, actions, bring)
        except (OrdainError, OSError) as error:
            self.marks.wait(key)
            self.failed[effect] = f"{effect.resource}: {error}"
            self.log.step("effect", fleet=effect.fleet or None, kind=effect.kind, resource=effect.resource, failed=str(error))
            return self.failed[effect]
        self.marks.settle(key)
        self.failed.pop(effect, None)
        if effect.kind == "run":
            ran(effect)
        self.log.step("effect", fleet=effect.fleet or None, kind=effect.kind, resource=effect.resource, why="; ".join(effect.why))
        reached("agent:after-effect")
        return None

    def _one(self, effect: Effect, actions: Mapping[tuple[str, str], Action], bring: Callable[[str], None]) -> None:
        if effect.kind == "start":
            self.processes.start(effect.name)
        elif effect.kind == "restart":
            self.processes.restart(effect.name)
        elif effect.kind == "stop":
            self.processes.stop(effect.name)
        elif effect.kind == "bring":
            bring(effect.name)
        else:
            self._act(actions[effect.fleet, effect.name])

    def _act(self, action: Action) -> None:
        ended = self.run.run(*action.run, timeout=duration.seconds(action.timeout), together=True, sweep=True)
        if ended.code != 0:
            raise RetryError(ended.failure)

    def _settle(self, started: Sequence[str]) -> None:
        """Give what was started a moment to fail, so that a release which can't run is not called applied."""
        until = time.monotonic() + SETTLE_SECONDS
        while started and time.monotonic() < until and not self.stopping():
            seen = self.processes.look()
            if any(name in seen and seen[name].standing in DOWN for name in started):
                return
            time.sleep(TICK)


def standing_trouble(name: str, seen: Seen, tail: str) -> str | None:
    """Return why a wanted process doesn't run, with the last lines of its output; None if it runs, or need not."""
    if seen.standing not in DOWN:
        return None
    said = f": {tail.strip()}" if tail.strip() else ""
    again = "it is started again after a while" if seen.standing == "waiting" else "it failed too often and is left alone"
    return f"{PROCESS}{name}: {seen.why or 'does not run'}; {again}{said}"
