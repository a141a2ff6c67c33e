"""What this agent can hold a host to. A release that asks for more is refused before anything is touched."""

from collections.abc import Collection

from agent.allow import PROVIDERS
from agent.protocol.errors import RefusedError
from agent.protocol.state import State

WIRED: frozenset[str] = frozenset()
"""The providers beside files and artifacts that apply carries out; `reboot` among them once it is."""


def require_supported(state: State, supported: Collection[str] = WIRED) -> None:
    """Raise `RefusedError`, naming the resource, if a state holds one of a provider that is not in `supported`.

    `supported` is what this agent can do here: on a host without systemd it has no services, without apt or dnf no packages.
    """
    for provider, parts in PROVIDERS.items():
        named = [f"{part.replace('_', ' ')} {one.name}" for part in parts for one in getattr(state, part)]
        if named and provider not in supported:
            message = f"{named[0]}: this agent can't hold this host to {provider}; upgrade it, or leave them out for hosts like this one"
            raise RefusedError(message)
    if state.reboot is not None and "reboot" not in supported:
        message = "reboot: this agent can't reboot this host; upgrade it, or leave `reboot` out for hosts like this one"
        raise RefusedError(message)
