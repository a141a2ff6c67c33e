"""What runs on this host, brought to what all its fleets' generations say, as one look for the whole host.

Generations say what is wanted, `Done` what was brought about already. An effect is due until both agree; after that, what a
process's own policy or a fleet's drift policy leaves alone is only reported.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from agent.disk import Disk
from agent.effects.carry_out import Carrier, standing_trouble
from agent.effects.digests import action_digest, process_digest
from agent.effects.holding import Holding
from agent.effects.order import PROCESS, SERVICE, graph
from agent.effects.plan import Effect, Part, plan_effects
from agent.effects.reboot import Rebooter
from agent.effects.records import Done, boot_id, read_done, write_done
from agent.effects.units import Differing, Units
from agent.logs import timestamp
from agent.processes.interface import Processes, Seen, Wanted
from agent.protocol.errors import RetryError
from agent.protocol.state import Process, State
from agent.providers.item import NOBODY, Coming, Item
from agent.reporting.status import Drift
from agent.secrets.filling import is_complete
from agent.services.seen import Seen as SeenUnit

NOTHING = Differing(bring={}, troubles=(), drifts=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one fleet's resources stand: what went wrong, what is waited for, and what is not as it should be and left so."""

    troubles: tuple[str, ...] = ()
    waiting: str = ""
    drifts: tuple[Drift, ...] = ()


@dataclass(slots=True, kw_only=True)
class Effects:
    """Brings about what generations ask for beside files; lives as long as the agent."""

    disk: Disk
    processes: Processes
    units: Units
    carrier: Carrier
    rebooter: Rebooter
    leftovers: list[str] = field(default_factory=list)
    """What could not be taken down that no fleet asks for any more, a sentence each."""

    def take_over(self, processes: Processes) -> None:
        """From now on have these run what runs, where until then it was only looked at."""
        self.processes = self.carrier.processes = processes

    def supported(self) -> frozenset[str]:
        """Return the providers that this agent can carry out."""
        return frozenset({"processes", "services", "actions", "packages", "users", "kernelSettings", "hostFiles", "reboot"})

    def require(self, state: State, coming: Coming = NOBODY) -> tuple[str, ...]:
        """Return warnings about what of a state can't be kept here; raise `RefusedError` for what can't run here at all.

        A process whose user or group is `coming` is judged when that is there.
        """
        self.units.services.require(state.services)
        known = [one for one in state.processes if not (coming.covers("owner", one.user) or coming.covers("group", one.group))]
        return tuple(f"{PROCESS}{process.name}: {said}" for process in known for said in self.processes.require(process))

    def adopt(self, state: State, items: Mapping[str, Item], changing: Collection[str]) -> None:
        """Before a switch of `changing` paths: note what runs already and has read what it should."""
        if state.services:
            self.units.adopt(state, items, changing)

    def planned(self, holdings: Sequence[Holding], *, spared: Collection[str] = ()) -> tuple[Effect, ...]:
        """Return what there would be to do, and change nothing; raises `RetryError` where systemd does not answer."""
        running, units = self.processes.look(), self.units.look(holdings)
        differing = {holding.fleet: self.units.differing(holding, units, due=self._is_due(holding)) for holding in holdings}
        gone = [
            Effect(kind="stop", resource=f"{SERVICE}{step.unit}", why=(step.kind, *step.why))
            for step in self.units.leaving(holdings, spared)
        ]
        parts = [self._part(holding, running, differing[holding.fleet]) for holding in holdings]
        return (*gone, *plan_effects(parts, running, spared=spared))

    def bring(self, holdings: Sequence[Holding], *, spared: Collection[str] = (), former: Iterable[State] = ()) -> dict[str, Outcome]:
        """Bring the host to what its fleets hold, and return how each stands. A second look at once has nothing to do.

        `spared` are resources that no fleet holds yet and one asks for: they go on until it has them. `former` are states held
        before, for the order in which what goes stops.
        """
        units, differing = self._units(holdings, spared)
        running = self.processes.look()
        parts = [self._part(holding, running, differing[holding.fleet]) for holding in holdings]
        self.processes.want(
            {name: wanted for part in parts for name, wanted in part.processes.items() if not part.frozen or is_complete(wanted.process)}
        )
        troubles = self.carrier.carry_out(
            plan_effects(parts, running, spared=spared, before=graph(former)),
            after=graph(holding.state for holding in holdings),
            actions={(holding.fleet, action.name): action for holding in holdings for action in holding.state.actions},
            ran=self._ran,
            bring=lambda name: self.units.bring(holdings, name, units),
        )
        self.leftovers += troubles.get("", [])
        seen, boot = self.processes.look(), self._boot()
        outcomes = {}
        for holding in holdings:
            units_of = differing[holding.fleet]
            outcome = self._outcome(holding, [*units_of.troubles, *troubles.get(holding.fleet, ())], seen, boot)
            outcomes[holding.fleet] = replace(outcome, drifts=(*outcome.drifts, *units_of.drifts))
        return outcomes

    def _units(self, holdings: Sequence[Holding], spared: Collection[str]) -> tuple[dict[str, SeenUnit], dict[str, Differing]]:
        """Take down what goes, have systemd read its files, and return what it says and how that differs, by fleet."""
        self.leftovers = []
        try:
            units, stopped = self.units.settle(holdings, spared)
            for step in stopped:
                self.carrier.log.step("effect", kind=step.kind, resource=f"{SERVICE}{step.unit}", why="; ".join(step.why))
        except RetryError as error:
            self.leftovers = [str(error)]
            failed = Differing(bring={}, troubles=(str(error),), drifts=())
            return {}, {holding.fleet: failed if holding.state.services else NOTHING for holding in holdings}
        return units, {holding.fleet: self.units.differing(holding, units, due=self._is_due(holding)) for holding in holdings}

    def reboot(self, holdings: Sequence[Holding], outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Reboot the host if a fleet of which all runs asks for it and may; return the outcomes with what came of it.

        Raises:
            OSError: it can't be written down, so nothing was asked.
        """
        found = dict(outcomes)
        for holding in holdings:
            if not found[holding.fleet].troubles and not self.carrier.stopping():
                standing = self.rebooter.attend(holding)
                if standing.result == "failed":
                    found[holding.fleet] = replace(found[holding.fleet], troubles=(standing.why,))
                elif standing.result == "waiting":
                    found[holding.fleet] = replace(found[holding.fleet], waiting=standing.why)
        return found

    def is_up(self, holding: Holding) -> bool:
        """Return whether no reboot of a fleet's generation is still to come: before, probes would ask what is about to go."""
        return self.rebooter.is_over(holding)

    def _boot(self) -> str:
        return boot_id(self.rebooter.host.root)

    def _is_due(self, holding: Holding) -> bool:
        """Return whether something of a fleet was switched since its effects were last complete, or the machine booted."""
        done = read_done(self.disk, holding.fleet)
        return (done.transaction, done.boot) != (holding.transaction, self._boot())

    def _part(self, holding: Holding, seen: Mapping[str, Seen], units: Differing) -> Part:
        items = holding.items
        wanted = {process.name: Wanted(process=process, digest=_digest(process, holding, seen)) for process in holding.state.processes}
        ran = read_done(self.disk, holding.fleet).actions
        due = {} if items is None else {action.name: action_digest(action, items) for action in holding.state.actions}
        return Part(
            fleet=holding.fleet,
            processes=wanted,
            services=units.bring,
            actions={name: digest for name, digest in due.items() if ran.get(name) != digest},
            after=graph([holding.state]),
            frozen=items is None,
        )

    def _ran(self, effect: Effect) -> None:
        """Note what an action was run for, before anything else: one that is not noted is run again."""
        done = read_done(self.disk, effect.fleet)
        write_done(self.disk, effect.fleet, msgspec.structs.replace(done, actions=done.actions | {effect.name: effect.digest}))

    def _outcome(self, holding: Holding, troubles: Sequence[str], seen: Mapping[str, Seen], boot: str) -> Outcome:
        said = list(troubles)
        named = {line.partition(":")[0] for line in said}
        here = {process.name: seen[process.name] for process in holding.state.processes if process.name in seen}
        for name, one in here.items():
            why = standing_trouble(name, one, self.processes.tail(name))
            if why is not None and f"{PROCESS}{name}" not in named:
                said.append(why)
        if not said and holding.items is not None and not self.carrier.stopping():  # who stops may have left some undone
            done = read_done(self.disk, holding.fleet)
            kept = {action.name: done.actions[action.name] for action in holding.state.actions if action.name in done.actions}
            write_done(self.disk, holding.fleet, Done(transaction=holding.transaction, boot=boot, actions=kept))
        return Outcome(troubles=tuple(said), drifts=tuple(_looping(name, one) for name, one in here.items() if one.standing == "looping"))


def _digest(process: Process, holding: Holding, seen: Mapping[str, Seen]) -> str:
    """Return by what a process is known; where what it reads can't be said now, by what it was started with."""
    if holding.items is not None:
        return process_digest(process, holding.items, holding.sealed.get(process.name, {}))
    return seen[process.name].digest or "" if process.name in seen else ""


def _looping(name: str, seen: Seen) -> Drift:
    since = seen.since or timestamp()
    return Drift(path=f"{PROCESS}{name}", differs=["state"], expected="running", actual=f"stopped: {seen.why}", since=since)
