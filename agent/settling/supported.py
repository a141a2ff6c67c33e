"""What this agent can hold a host to. A release that asks for more is refused before anything is touched.

Below a `--root` there may be no systemd, no package manager and no accounts: there a release is tried, and what can't be had is
left out with a warning. On the whole machine it refuses the release, since a host without it is not what policy approved.
"""

from collections.abc import Callable, Collection, Iterator

import msgspec

from agent.host import Host
from agent.owner.allow import PROVIDERS
from agent.protocol.errors import RefusedError
from agent.protocol.state import State
from agent.providers.packages.install import has_manager

ACCOUNTS = "/etc/passwd"


def require_supported(state: State, supported: Collection[str]) -> None:
    """Raise `RefusedError`, naming the resource, if a state holds one of a provider that is not in `supported`."""
    for provider, parts in PROVIDERS.items():
        named = [f"{part.replace('_', ' ')} {one.name}" for part in parts for one in getattr(state, part)]
        if named and provider not in supported:
            message = f"{named[0]}: this agent can't hold this host to {provider}; upgrade it, or leave them out for hosts like this one"
            raise RefusedError(message)
    if state.reboot is not None and "reboot" not in supported:
        message = "reboot: this agent can't reboot this host; upgrade it, or leave `reboot` out for hosts like this one"
        raise RefusedError(message)


def within_reach(state: State, host: Host, *, has_systemd: Callable[[], bool], reboots: bool) -> tuple[State, tuple[str, ...]]:
    """Return a state without what can't be had below a `--root`, and a warning for each of it; on the whole machine, all of it."""
    if host.is_whole_machine:
        return state, ()
    out = {(part, name): why for part, name, why in _out_of_reach(state, host, has_systemd)}
    kept = {part: [one for one in getattr(state, part) if (part, one.name) not in out] for part in {part for part, _ in out}}
    runs = [*state.processes, *(one for one in state.services if ("services", one.name) not in out)]
    if not runs and any(one.http is not None or one.tcp is not None for one in state.probes):
        kept["probes"] = [one for one in state.probes if one.http is None and one.tcp is None]
    warnings = [f"{part.replace('_', ' ')} {name}: left out, {why}" for (part, name), why in out.items()]
    asked = {one.name for one in kept.get("probes", state.probes)}
    warnings += [f"probe {one.name}: left out, nothing runs below --root that it asks" for one in state.probes if one.name not in asked]
    reboot = state.reboot if reboots else None
    if reboot != state.reboot:
        warnings.append("reboot: left out, nothing below --root is rebooted")
    return msgspec.structs.replace(state, **kept, reboot=reboot), tuple(warnings)


def _out_of_reach(state: State, host: Host, has_systemd: Callable[[], bool]) -> Iterator[tuple[str, str, str]]:
    """Yield (list of the state, name, why) of what can't be had."""
    if state.services and not has_systemd():
        yield from (("services", one.name, "no systemd runs what is below --root") for one in state.services)
    if (state.packages or state.repositories) and not has_manager(host):
        for part in ("repositories", "packages"):
            yield from ((part, one.name, "there is no package manager below --root") for one in getattr(state, part))
    if (state.users or state.groups) and host.observe(ACCOUNTS).kind != "file":
        for part in ("groups", "users"):
            yield from ((part, one.name, f"there is no {ACCOUNTS} below --root") for one in getattr(state, part))
    for block in state.host_files:
        if host.observe(block.path).kind == "absent":
            yield "host_files", block.name, f"there is no {block.path} below --root"
