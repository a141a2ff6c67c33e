"""An Ansible inventory as groups that hold hosts, variables and one another; and what that makes of each host.

As Ansible has it: what stands nearer to the host counts more, of groups at the same depth the last by name, and a host's own variables
count most. https://docs.ansible.com/ansible/latest/inventory_guide/intro_inventory.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.protocol.errors import InputError
from reconciler.inventory.hosts import HOSTS_LIMIT

ALL, UNGROUPED = "all", "ungrouped"
DEPTH_LIMIT = 64
"""Groups within groups: people nest three or four."""
_RANGE = re.compile(r"\[([0-9]+|[A-Za-z]):([0-9]+|[A-Za-z])(?::([1-9][0-9]{0,3}))?\]")


@dataclass(slots=True, kw_only=True)
class Group:
    """A group while an inventory is read."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    children: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A host with the names of all groups that it is in, sorted, and its variables."""

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Any]


class Groups:
    """The groups of one inventory; hosts in the order in which they were first named."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._groups: dict[str, Group] = {}
        self._hosts: dict[str, dict[str, Any]] = {}

    def group(self, name: str) -> Group:
        """Return a group, made where it is new."""
        return self._groups.setdefault(name, Group())

    def add(self, group: str, pattern: str, variables: Mapping[str, Any]) -> None:
        """Put hosts into a group; `pattern` may hold ranges: `web[01:10].example.com`.

        Raises:
            InputError: more hosts than one list may have, or a range that is none.
        """
        for host in expanded(pattern):
            self._hosts.setdefault(host, {}).update(variables)
            self.group(group).hosts[host] = {}
            if len(self._hosts) > HOSTS_LIMIT:
                message = f"more than {HOSTS_LIMIT} hosts; split the inventory"
                raise InputError(message)

    def names(self) -> list[str]:
        """Return the names of all groups."""
        return sorted(self._groups)

    def hosts(self) -> list[str]:
        """Return the names of all hosts."""
        return list(self._hosts)

    def override(self, host: str, variables: Mapping[str, Any]) -> None:
        """Give a host variables that stand beside the inventory (`host_vars/`): they count more than those in it."""
        self._hosts[host].update(variables)

    def listed(self) -> Iterator[Listed]:
        """Yield each host with its groups and variables; raise `InputError` where groups hold one another in a circle."""
        depths = self._depths()
        parents: dict[str, set[str]] = {}
        for name, group in self._groups.items():
            for child in group.children:
                parents.setdefault(child, set()).add(name)
        direct: dict[str, set[str]] = {}
        for name, group in self._groups.items():
            for host in group.hosts:
                direct.setdefault(host, set()).add(name)
        for host, own in self._hosts.items():
            within = _upwards(direct.get(host, set()), parents)
            variables: dict[str, Any] = dict(self._groups[ALL].variables) if ALL in self._groups else {}
            for name in sorted(within - {ALL}, key=lambda one: (depths[one], one)):
                variables |= self._groups[name].variables
            yield Listed(name=host, groups=tuple(sorted(within - {ALL, UNGROUPED})), variables=variables | own)

    def _depths(self) -> dict[str, int]:
        """Return how deep each group lies, the longest way counting."""
        depths = dict.fromkeys(self._groups, 0)
        for _ in range(DEPTH_LIMIT):
            before = dict(depths)
            for name, group in self._groups.items():
                for child in group.children:
                    depths[child] = max(depths.get(child, 0), depths[name] + 1)
            if depths == before:
                return depths
        message = f"groups hold one another in a circle, or are nested more than {DEPTH_LIMIT} deep"
        raise InputError(message)


def _upwards(start: set[str], parents: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(parents.get(name, ()))
    return found


def expanded(pattern: str) -> Iterator[str]:
    """Yield the hosts that a pattern with ranges means: `web[01:03]`, `db-[a:c]`, with a step as a third number."""
    match = _RANGE.search(pattern)
    if match is None:
        if "[" in pattern or "]" in pattern:
            message = f"{pattern[:80]!r} is no host: a range is written [01:10] or [a:f]"
            raise InputError(message)
        yield pattern
        return
    before, after = pattern[: match.start()], pattern[match.end() :]
    for part in _range(match):
        for rest in expanded(after):
            yield before + part + rest


def _range(match: re.Match[str]) -> Iterator[str]:
    first, last, step = match[1], match[2], int(match[3] or 1)
    if first.isdigit() and last.isdigit() and len(last) <= len(str(HOSTS_LIMIT)) and int(first) <= int(last):
        return (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1, step))
    if first.isalpha() and last.isalpha() and first <= last:
        return (chr(number) for number in range(ord(first), ord(last) + 1, step))
    message = f"{match[0]} is no range of at most {HOSTS_LIMIT} hosts: write [01:10] or [a:f]"
    raise InputError(message)
