"""Leaving a host for good: everything stays as it is, or everything that releases brought goes and what was there before comes back.

Packages, users and kernel settings stay in either case, since no rollback takes them back; the caller is told.
"""

import shutil
from collections.abc import Iterator

import msgspec

from agent.apply.plan import declared
from agent.apply.recover import recover
from agent.apply.transaction import Change, apply
from agent.logs import timestamp
from agent.protocol.errors import RefusedError
from agent.protocol.state import State
from agent.settling.settle import Settler

STAYING = ("repositories", "packages", "groups", "users", "modules", "sysctls")
"""What of a state no rollback takes back."""


def staying(settler: Settler) -> list[str]:
    """Return what stays on the host although releases brought it, as `packages nginx`."""
    states = settler.table({}, frozenset()).current.values()
    return sorted({f"{part} {one.name}" for state in states for part in STAYING for one in getattr(state, part)})


def held(settler: Settler) -> list[str]:
    """Return what goes with `remove`: paths, processes and services of all fleets, sorted."""
    states = settler.table({}, frozenset()).current.values()
    paths = {path for state in states for path in declared(state)}
    named = {f"process/{one.name}" for state in states for one in state.processes}
    return [*sorted(paths), *sorted(named | {f"service/{one.name}" for state in states for one in state.services})]


def remove(settler: Settler) -> Iterator[str]:
    """Bring every fleet to nothing by the transaction of any release, and yield each that is done.

    Call it with the agent's locks held, and what runs looked after. What a crash interrupts is taken up by calling it again.

    Raises:
        RefusedError: something of a fleet could not be taken down; the fleets before are gone, and the agent's state is kept.
        RetryError, OSError: it can't be done now.
    """
    recover(settler.work.host, settler.work.disk)
    for fleet in settler.work.disk.known_fleets():
        generations = settler.generations(fleet)
        meta, former = generations.current(), generations.current_state()
        if meta is None or former == State():
            continue
        table = settler.table({}, frozenset())
        prepared = settler.prepare(fleet, State(), table)
        empty = msgspec.structs.replace(meta, generation=generations.next_number(), applied_at=timestamp())
        apply(settler.work, Change(fleet=fleet, meta=empty, items=prepared.items, plan=prepared.plan, state=State()))
        outcome = settler.bring_about(settler.table({}, frozenset()), former=[former]).get(fleet)
        troubles = [*(outcome.troubles if outcome else ()), *settler.effects.leftovers]
        if troubles:
            message = f"{fleet}: {'; '.join(troubles)}; put that right and call this again"
            raise RefusedError(message)
        yield fleet


def forget(settler: Settler) -> None:
    """Remove the agent's own directory: identity, generations, floors and all else. The host is then unknown to ordain."""
    shutil.rmtree(settler.work.disk.root)
