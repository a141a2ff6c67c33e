"""Who holds what on a host, who asks for it, and whom it must wait for. Pure.

A path, process, service, package or user belongs to the fleet whose current generation declares it. A fleet that wants
another's waits until that one has moved on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from agent.apply.plan import claims, declared, trees_of, within
from agent.effects.resources import resources, without
from agent.following.admission import Wanted
from agent.protocol.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Who holds what: what each fleet holds now, what each one asks for, and which have let this host go."""

    current: Mapping[str, State]
    wanted: Mapping[str, Wanted]
    left: frozenset[str]

    def conflict(self, fleet: str, state: State) -> str | None:
        """Return what of `state` another fleet still holds, a path or a resource; None if all is free for `fleet`."""
        needed, owned = declared(state), resources(state)
        for other, held in self.current.items():
            if other == fleet:
                continue
            taken = needed & declared(held) if other not in self.left else frozenset()
            taken |= within(needed, trees_of(held) - needed) | within(declared(held), trees_of(state) - declared(held))
            taken |= owned & resources(held) if other not in self.left else frozenset()
            if taken:
                return f"{min(taken)} still belongs to fleet {other} here"
        return None

    def elsewhere(self, fleet: str) -> frozenset[str]:
        """Return the paths that other fleets declare."""
        return frozenset().union(*(declared(state) for name, state in self.current.items() if name != fleet))

    def claimed(self, fleet: str, state: State) -> list[frozenset[str]]:
        """Return all claims there are once `fleet` holds `state`.

        A fleet that let this host go keeps its claims, so that nothing of it is removed, but not on what another took over.
        """
        holding = {name: claims(held) for name, held in self.current.items() if name not in self.left}
        taken_over = frozenset().union(*holding.values())
        abandoned = [claims(held) - taken_over for name, held in self.current.items() if name in self.left and name != fleet]
        asked = [claims(wanted.state) for wanted in self.wanted.values()]  # this fleet's too: it may be about to take over a path
        others = [claim for name, claim in holding.items() if name != fleet]
        return [claims(state), *others, *asked, *abandoned]

    def holding(self, fleet: str) -> State:
        """Return what a fleet holds; one that let this host go holds nothing that another one took over."""
        state = self.current[fleet]
        if fleet not in self.left:
            return state
        state = msgspec.structs.replace(state, reboot=None)
        return without(state, frozenset().union(*(resources(held) for name, held in self.current.items() if name not in self.left)))

    def former(self, fleet: str) -> State:
        """Return what a fleet held before, without what another one holds or asks for: that is no longer its to give up."""
        held = [state for name, state in self.current.items() if name not in self.left | {fleet}]
        asked = [wanted.state for name, wanted in self.wanted.items() if name != fleet]
        return without(self.current.get(fleet, State()), frozenset().union(*map(resources, [*held, *asked])))

    def asked(self, *, held: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the resources that fleets ask for, whoever has them: what one gives up and another wants goes on in between.

        Fleets that are `held` at an older generation won't take what their newest release asks for.
        """
        return frozenset().union(*(resources(wanted.state) for fleet, wanted in self.wanted.items() if fleet not in held))
