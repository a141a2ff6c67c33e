"""What runs on this host, brought to what all its fleets' generations say, as one look for the whole host.

Generations say what is wanted, `Done` what was brought about already. An effect is due until both agree; after that, what a
process's own policy or a fleet's drift policy leaves alone is only reported.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.disk import Disk
from agent.effects.carry_out import Carrier, standing_trouble
from agent.effects.digests import action_digest, process_digest
from agent.effects.order import PROCESS, graph
from agent.effects.plan import Effect, Part, plan_effects
from agent.effects.records import Done, boot_id, read_done, write_done
from agent.logs import timestamp
from agent.processes.interface import Processes, Seen, Wanted
from agent.protocol.state import Process, State
from agent.providers.item import Item
from agent.status import Drift


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one fleet holds here: its generation's state with its texts finished, and what that means at its paths."""

    fleet: str
    state: State
    transaction: str
    """The transaction that last touched the fleet."""
    items: Mapping[str, Item] | None
    """None where that can't be said now: what runs goes on as it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one fleet's resources stand: what went wrong, and what is not as it should be and left so."""

    troubles: tuple[str, ...] = ()
    drifts: tuple[Drift, ...] = ()


@dataclass(slots=True, kw_only=True)
class Effects:
    """Brings about what generations ask for beside files; lives as long as the agent."""

    disk: Disk
    processes: Processes
    carrier: Carrier

    def supported(self) -> frozenset[str]:
        """Return the providers that this agent can carry out on this host."""
        return frozenset({"actions"})

    def require(self, state: State) -> tuple[str, ...]:
        """Return warnings about what of a state can't be kept here; raise `RefusedError` for what can't run here at all."""
        return tuple(f"{PROCESS}{process.name}: {said}" for process in state.processes for said in self.processes.require(process))

    def planned(self, holdings: Sequence[Holding], *, spared: Iterable[str] = ()) -> tuple[Effect, ...]:
        """Return what there would be to do, and change nothing."""
        seen = self.processes.look()
        return plan_effects([self._part(holding, seen) for holding in holdings], seen, spared=frozenset(spared))

    def bring(self, holdings: Sequence[Holding], *, spared: Iterable[str] = (), former: Iterable[State] = ()) -> dict[str, Outcome]:
        """Bring the host to what its fleets hold, and return how each stands. A second look at once has nothing to do.

        `spared` are resources that no fleet holds yet and one asks for: they go on until it has them. `former` are states held
        before, for the order in which what goes stops.
        """
        seen = self.processes.look()
        parts = [self._part(holding, seen) for holding in holdings]
        self.processes.want({name: wanted for part in parts for name, wanted in part.processes.items()})
        troubles = self.carrier.carry_out(
            plan_effects(parts, seen, spared=frozenset(spared), before=graph(former)),
            after=graph(holding.state for holding in holdings),
            actions={(holding.fleet, action.name): action for holding in holdings for action in holding.state.actions},
            ran=self._ran,
            bring=_no_services,
        )
        return self._outcomes(parts, holdings, troubles)

    def _part(self, holding: Holding, seen: Mapping[str, Seen]) -> Part:
        items = holding.items
        wanted = {process.name: Wanted(process=process, digest=_digest(process, items, seen)) for process in holding.state.processes}
        ran = read_done(self.disk, holding.fleet).actions
        due = {} if items is None else {action.name: action_digest(action, items) for action in holding.state.actions}
        return Part(
            fleet=holding.fleet,
            processes=wanted,
            services={},
            actions={name: digest for name, digest in due.items() if ran.get(name) != digest},
            after=graph([holding.state]),
        )

    def _ran(self, effect: Effect) -> None:
        """Note what an action was run for, before anything else: one that is not noted is run again."""
        done = read_done(self.disk, effect.fleet)
        write_done(self.disk, effect.fleet, msgspec.structs.replace(done, actions=done.actions | {effect.name: effect.digest}))

    def _outcomes(self, parts: Sequence[Part], holdings: Sequence[Holding], troubles: Mapping[str, Sequence[str]]) -> dict[str, Outcome]:
        seen, boot = self.processes.look(), boot_id()
        found = {}
        for part, holding in zip(parts, holdings, strict=True):
            said = list(troubles.get(part.fleet, ()))
            named = {line.partition(":")[0] for line in said}
            for name in part.processes:
                why = standing_trouble(name, seen[name], self.processes.tail(name)) if name in seen else None
                if why is not None and f"{PROCESS}{name}" not in named:
                    said.append(why)
            drifts = tuple(_looping(name, seen[name]) for name in part.processes if name in seen and seen[name].standing == "looping")
            found[part.fleet] = Outcome(troubles=tuple(said), drifts=drifts)
            if not said and holding.items is not None:
                done = read_done(self.disk, part.fleet)
                kept = {action.name: done.actions[action.name] for action in holding.state.actions if action.name in done.actions}
                write_done(self.disk, part.fleet, Done(transaction=holding.transaction, boot=boot, actions=kept))
        return found


def _digest(process: Process, items: Mapping[str, Item] | None, seen: Mapping[str, Seen]) -> str:
    """Return by what a process is known; where what it reads can't be said now, by what it was started with."""
    if items is not None:
        return process_digest(process, items)
    return seen[process.name].digest or "" if process.name in seen else ""


def _looping(name: str, seen: Seen) -> Drift:
    return Drift(
        path=f"{PROCESS}{name}", differs=["state"], expected="running", actual=f"stopped: {seen.why}", since=seen.since or timestamp()
    )


def _no_services(name: str) -> None:
    del name
