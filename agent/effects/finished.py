"""A state's commands, environments and targets as they are on this host: `${agent.…}` filled in, literals unfolded."""

from collections.abc import Callable
from functools import partial

import msgspec

from agent.protocol import rendering
from agent.protocol.state import Action, Probe, Process, State
from agent.secrets.filling import NOTHING, Filling


def finish_state(state: State, *, tenant: str, agent: str, filling: Filling = NOTHING) -> State:
    """Return a state with all texts filled in but those of files and of blocks in files, which their providers do.

    Raises:
        MalformedError: a reference that an agent can't fill in.
    """
    fill = partial(rendering.finish, tenant=tenant, agent=agent)
    return msgspec.structs.replace(
        state,
        processes=[_process(process, fill, partial(fill, secrets=filling.values)) for process in state.processes],
        actions=[_action(action, fill) for action in state.actions],
        probes=[_probe(probe, fill) for probe in state.probes],
    )


def _process(process: Process, fill: Callable[[str], str], with_secrets: Callable[[str], str]) -> Process:
    command = [fill(argument) for argument in process.command]
    environment = {name: with_secrets(value) for name, value in process.environment.items()}
    return msgspec.structs.replace(process, command=command, environment=environment)


def _action(action: Action, fill: Callable[[str], str]) -> Action:
    return msgspec.structs.replace(action, run=[fill(argument) for argument in action.run])


def _probe(probe: Probe, fill: Callable[[str], str]) -> Probe:
    return msgspec.structs.replace(
        probe,
        http=None if probe.http is None else fill(probe.http),
        tcp=None if probe.tcp is None else fill(probe.tcp),
        command=[fill(argument) for argument in probe.command],
    )
