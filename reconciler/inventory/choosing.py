"""Which hosts of a list are taken, and what becomes their labels: only what somebody asks for, since labels decide what a host gets."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.protocol.errors import InputError
from reconciler.inventory.groups import Listed
from reconciler.inventory.hosts import Found, Host, Note, named, plain_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for: `fixed` labels for all, `variables` (label → variable or column), `groups` (label → groups, its values).

    `only` are groups or patterns of hosts, empty for all; `domain` is taken off names; `description` names a variable or column.
    """

    fixed: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    only: Sequence[str] = ()
    domain: str = ""
    description: str = ""


def chosen(listed: Iterable[Listed], wanted: Wanted) -> Found:
    """Return the hosts that are wanted, under names and with labels that a manifest can have.

    Raises:
        InputError: nothing in the list is what a label should be made of: the name is likely misspelt.
    """
    everybody = list(listed)
    _require_known(everybody, wanted)
    taken = [one for one in everybody if _is_wanted(one, wanted.only)]
    hosts: list[Host] = []
    notes: list[Note] = []
    for one in taken:
        labels, said = _labels(one, wanted)
        notes += [Note(name=one.name, what=what) for what in said]
        description = plain_text(one.variables.get(wanted.description)) if wanted.description else None
        hosts.append(Host(name=one.name, labels=labels, description=description or ""))
    found = named(hosts, domain=wanted.domain)
    return Found(hosts=found.hosts, notes=(*notes, *found.notes))


def _is_wanted(one: Listed, only: Sequence[str]) -> bool:
    return not only or any(pattern in one.groups or fnmatch.fnmatchcase(one.name, pattern) for pattern in only)


def _labels(one: Listed, wanted: Wanted) -> tuple[dict[str, str], list[str]]:
    """Return the labels of a host as text, in a manifest's form or not, and what could not be made one."""
    labels = dict(wanted.fixed)
    said: list[str] = []
    for label, groups in wanted.groups.items():
        within = [group for group in groups if group in one.groups]
        if len(within) == 1:
            labels[label] = within[0]
        elif within:
            said.append(f"label {label} is left out: it is in {' and '.join(within)}")
    for label, variable in wanted.variables.items():
        value = one.variables.get(variable)
        text = plain_text(value) if value not in (None, "") else ""
        if text is None:
            said.append(f"label {label} is left out: {variable} is a {type(value).__name__}, and a label is text")
        elif text:
            labels[label] = text
    return labels, said


def _require_known(listed: Sequence[Listed], wanted: Wanted) -> None:
    variables = {name for one in listed for name in one.variables}
    groups = {name for one in listed for name in one.groups}
    asked = [*wanted.variables.values(), *([wanted.description] if wanted.description else [])]
    missing = [f"variable or column {name}" for name in asked if name not in variables]
    missing += [f"group {name}" for names in wanted.groups.values() for name in names if name not in groups]
    missing += [f"group or host {name}" for name in wanted.only if not any(_is_wanted(one, [name]) for one in listed)]
    if missing:
        there = ", ".join(sorted(groups)[:10]) or "none"
        message = f"no host has {missing[0][:120]}; groups are {there}; variables are {', '.join(sorted(variables)[:20]) or 'none'}"
        raise InputError(message)
