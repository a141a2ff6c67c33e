"""The order in which resources start, by `after`; they stop in the reverse. Pure."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from agent.protocol.errors import RefusedError
from agent.protocol.state import State

PROCESS, SERVICE, ACTION = "process/", "service/", "action/"
"""How resources are named; `after` names what it waits for by the first two: `process/<name>`, `service/<unit>`."""


def graph(states: Iterable[State]) -> dict[str, list[str]]:
    """Return resource → what it starts after, of all that states hold."""
    found: dict[str, list[str]] = {}
    for state in states:
        found |= {f"{PROCESS}{process.name}": process.after for process in state.processes}
        found |= {f"{SERVICE}{service.name}": service.after for service in state.services}
    return found


def ordered(after: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the resources so that each comes after what it waits for, and else by name; what isn't here is not waited for.

    Raises:
        RefusedError: they wait for one another; the message names the circle.
    """
    sorter = TopologicalSorter({name: [one for one in waits if one in after] for name, waits in after.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        message = f"`after` goes in a circle: {' after '.join(error.args[1])}; take one of them out"
        raise RefusedError(message) from error
    found: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found += ready
        sorter.done(*ready)
    return found
