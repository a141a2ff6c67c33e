"""What a host's owner lets bundles do, as `agent.toml` says: it has the last word over anything signed.

No file allows everything but a reboot, which must be allowed by name. A file that can't be read allows nothing. What a
release holds is judged whole before anything is touched, and a refusal names the line that says so.
"""

import pwd
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from agent.owner.configuration import line_of, read_sections
from agent.protocol.errors import InputError, RefusedError
from agent.protocol.state import Artifact, File, Process, Secret, State
from agent.providers.item import OCTAL

PLACES: Mapping[str, str] = {
    **dict.fromkeys(("/etc/containers/systemd/", "/run/containers/systemd/", "/usr/share/containers/systemd/"), "containers"),
    **dict.fromkeys(("/etc/systemd/system/", "/run/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"), "services"),
}
"""Where Quadlet and systemd read: a file there is a container or a unit, whoever calls it a file."""
PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "processes": ("processes",),
    "services": ("services",),
    "packages": ("repositories", "packages"),
    "users": ("groups", "users"),
    "kernelSettings": ("modules", "sysctls"),
    "hostFiles": ("host_files",),
    "actions": ("actions",),
}
"""The names that `allow.providers` has beside files, artifacts, containers and reboot, and what of a state each of them is."""
NAMES = ("files", "artifacts", "containers", *PROVIDERS, "reboot")
SECRETS = ("age", "sops", "vault", "file:/etc/ordain/secrets")
"""Where secrets may come from unless the owner says: files of the host's own only where its owner laid them for this."""
ROOT = "root"
_SET_UID = 0o4000
_SECRET = re.compile(r"age|sops|vault(?::[^/\s]\S*)?|file:/\S*")
_FLAGS = ("root_processes", "reboot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """What bundles may do on this host; None means: everything."""

    source: str = "agent.toml"
    providers: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    """Absolute prefixes, whole components: `/etc/otelcol` admits `/etc/otelcol/x`, not `/etc/otelcol2`."""
    commands: tuple[str, ...] | None = None
    """Programs that checks, processes, probes and actions may run, as absolute paths; what the release brings along counts by its own."""
    users: tuple[str, ...] | None = None
    """Users and groups that processes may run as, and that a release may make, change or put a user into."""
    root_processes: bool = True
    """Whether processes may run as root, or find a set-uid file of root's; actions and probes run as the agent does, by `commands`."""
    packages: tuple[str, ...] | None = None
    """Names of packages, with `*` for any ending: `["nginx", "otelcol-*"]`."""
    reboot: bool = False
    """Whether a release may reboot this host: the one thing that is not allowed unless it is said."""
    secrets: tuple[str, ...] | None = None
    """Where secrets may come from: `age`, `sops`, `vault` or `vault:<mount>/<path>`, `file:<path>`. None: all but files elsewhere."""
    lines: Mapping[str, int] = field(default_factory=dict)

    def _says(self, key: str) -> str:
        return f"{self.source}:{self.lines.get(key, 1)}: `{key}` does not allow"

    def refuse_provider(self, provider: str, what: str) -> str | None:
        """Return why this provider may not be used for `what`, None if it may."""
        if self.providers is None or provider in self.providers:
            return None
        return f"{self._says('providers')} {provider} (for {what})"

    def refuse_path(self, provider: str, path: str) -> str | None:
        """Return why this provider may not touch this path, None if it may."""
        why = self.refuse_provider(provider, path)
        if why is None:
            why = next((self.refuse_provider(meant, path) for place, meant in PLACES.items() if path.startswith(place)), None)
        if why is None and self.paths is not None and not any(_below(path, prefix) for prefix in self.paths):
            why = f"{self._says('paths')} {path}"
        return why

    def refuse_command(self, program: str) -> str | None:
        """Return why a bundle may not have this program run, None if it may."""
        if self.commands is None or program in self.commands:
            return None
        return f"{self._says('commands')} {program}"

    def refuse_user(self, name: str, what: str) -> str | None:
        """Return why a bundle may not use this user or group for `what`, None if it may."""
        if self.users is None or name in self.users:
            return None
        return f"{self._says('users')} {name} (for {what})"

    def refuse_root(self, what: str) -> str | None:
        """Return why `what` may not run as root, None if it may."""
        return None if self.root_processes else f"{self._says('root_processes')} {what} to run as root"

    def refuse_package(self, name: str) -> str | None:
        """Return why a bundle may not touch this package, None if it may."""
        if self.packages is None or any(fnmatchcase(name, pattern) for pattern in self.packages):
            return None
        return f"{self._says('packages')} {name}"

    def refuse_secret(self, secret: Secret) -> str | None:
        """Return why a bundle may not have this secret from where it says, None if it may."""
        kind = "age" if secret.age else "sops" if secret.sops else "vault" if secret.vault else "file"
        path = f"{secret.vault.mount}/{secret.vault.path}" if secret.vault else secret.file or ""
        allowed = SECRETS if self.secrets is None else self.secrets
        if any(one == kind or (path and one.startswith(f"{kind}:") and _below(path, one.partition(":")[2])) for one in allowed):
            return None
        return f"{self._says('secrets')} {kind}{f':{path}' if path else ''} (for {secret.name})"

    def refuse_reboot(self) -> str | None:
        """Return why a bundle may not reboot this host, None if it may."""
        if not self.reboot:
            return f"{self._says('reboot')} that a release reboots this host; write `reboot = true` below [allow] if it may"
        return self.refuse_provider("reboot", "reboot")

    def refuse(self, state: State, *, agent_is_root: bool) -> str | None:
        """Return why this host may not hold a state, None if it may. Paths and checks are judged where links are resolved."""
        return next((why for why in self._judged(state, agent_is_root=agent_is_root) if why is not None), None)

    def _judged(self, state: State, *, agent_is_root: bool) -> Iterator[str | None]:
        for provider, parts in PROVIDERS.items():
            yield from (self.refuse_provider(provider, f"{part} {one.name}") for part in parts for one in getattr(state, part))
        for process in state.processes:
            yield from self._of_process(process, agent_is_root=agent_is_root)
        yield from (self.refuse_command(action.run[0]) for action in state.actions)
        yield from (self.refuse_command(probe.command[0]) for probe in state.probes if probe.command)
        yield from (self.refuse_package(package.name) for package in state.packages)
        yield from self._of_accounts(state)
        yield from (self.refuse_path("hostFiles", file.path) for file in state.host_files)
        held: list[File | Artifact] = [*state.files, *state.artifacts]
        for file in held:
            if _is_set_uid(file.mode) and _is_root(file.owner, agent_is_root=agent_is_root):
                yield self.refuse_root(f"whoever starts {file.path}, which is set-uid,")
        if state.reboot is not None:
            yield self.refuse_reboot()

    def _of_process(self, process: Process, *, agent_is_root: bool) -> Iterator[str | None]:
        what = f"process/{process.name}"
        yield self.refuse_command(process.command[0])
        user = ROOT if process.user is None and agent_is_root else process.user
        yield from (self.refuse_user(name, what) for name in (user, process.group) if name is not None)
        if _is_root(process.user, agent_is_root=agent_is_root):
            yield self.refuse_root(what)

    def _of_accounts(self, state: State) -> Iterator[str | None]:
        yield from (self.refuse_user(group.name, f"groups {group.name}") for group in state.groups)
        for user in state.users:
            names = (user.name, user.group, *user.groups)
            yield from (self.refuse_user(name, f"users {user.name}") for name in names if name is not None)


def _is_root(user: str | None, *, agent_is_root: bool) -> bool:
    """Return whether a process would run as root: under any name, and also where it says no user and the agent is root."""
    if user is None or user.isdecimal():
        return agent_is_root if user is None else int(user) == 0
    try:
        return pwd.getpwnam(user).pw_uid == 0
    except KeyError:
        return False  # a user that isn't here yet is made by the release, and never as a second root


def _is_set_uid(mode: str | None) -> bool:
    return mode is not None and OCTAL.fullmatch(mode) is not None and bool(int(mode, 8) & _SET_UID)


def require_resources(state: State, allow: Allow, *, agent_is_root: bool) -> None:
    """Raise `RefusedError`, naming the line of `agent.toml`, if this host may not hold a state."""
    why = allow.refuse(state, agent_is_root=agent_is_root)
    if why is not None:
        raise RefusedError(why)


def read_allow(path: Path) -> Allow:
    """Read what `agent.toml` allows; raise `InputError` if there is one that is not understood in full."""
    text, document = read_sections(path)
    lines = {key: line_of(text, key) for key in document["allow"]}
    values = {key: _value(f"{path}:{lines[key]}", key, value) for key, value in document["allow"].items()}
    return Allow(source=str(path), lines=lines, **values)


def _value(place: str, key: str, value: Any) -> Any:
    if key in _FLAGS:
        if not isinstance(value, bool):
            message = f"{place}: allow.{key} must be true or false"
            raise InputError(message)
        return value
    return _strings(place, key, value)


def _strings(place: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        message = f"{place}: allow.{key} must be a list of strings"
        raise InputError(message)
    if key in ("paths", "commands") and not all(item.startswith("/") for item in value):
        message = f"{place}: allow.{key} must be absolute paths"
        raise InputError(message)
    wrong = [item for item in value if key == "secrets" and not _SECRET.fullmatch(item)]
    if wrong:
        message = f"{place}: {wrong[0]} is no source of secrets; there are age, sops, vault, vault:<mount>/<path> and file:<path>"
        raise InputError(message)
    unknown = [item for item in value if key == "providers" and item not in NAMES]
    if unknown:
        message = f"{place}: {unknown[0]} is no provider; there are {', '.join(NAMES)}"
        raise InputError(message)
    return tuple(value)


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")
