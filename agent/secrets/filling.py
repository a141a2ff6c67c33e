"""What is filled in for references to secrets, and what may be kept of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.protocol import codec, rendering
from agent.protocol.state import Process, State


def _unknown(digest: str) -> str:
    message = f"no key for {digest[:8]}: a text without secrets needs none"
    raise LookupError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """Values by name, and what makes a digest of a text with one such that it may be kept: see `HostKeys.keyed`."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    keyed: Callable[[str], str] = _unknown

    def sealed_environment(self, process: Process, finished: Process) -> dict[str, str]:
        """Return the keyed digest of each variable of a process that holds a secret, by name, from it as written and as filled in."""
        return {
            name: self.keyed(codec.sha256(finished.environment[name].encode()))
            for name, text in process.environment.items()
            if rendering.secrets_in(text)
        }

    def sealed(self, state: State, finished: State) -> dict[str, dict[str, str]]:
        """Return the same of all processes of a state that have any, by their name."""
        filled = {process.name: process for process in finished.processes}
        found = {one.name: self.sealed_environment(one, filled[one.name]) for one in state.processes if one.name in filled}
        return {name: variables for name, variables in found.items() if variables}


NOTHING = Filling()


def is_complete(process: Process) -> bool:
    """Return whether a finished process has all its secrets; one that lacks some goes on if it runs, and is not started."""
    return not any(rendering.secrets_in(text) for text in process.environment.values())


def needed(state: State) -> frozenset[str]:
    """Return the names of the secrets that texts of a state refer to: the others need not be had."""
    texts = [file.content for file in state.files] + [text for one in state.processes for text in one.environment.values()]
    return frozenset[str]().union(*(rendering.secrets_in(text) for text in texts))
