"""What a component gets wrong about processes, services, containers, packages and users that its schema can't say."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.protocol import quantity
from agent.protocol.errors import MalformedError
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.validation import rollouts
from reconciler.pipeline.validation.fields import items
from reconciler.pipeline.validation.findings import alternatives, refused, schema_refused, shown, spelled

LEAST_MEMORY = 1024 * 1024
"""Bytes below which no program starts: less is a unit that was forgotten."""
MOST_MEMORY = 64 * 1024**4
"""Bytes that no host has: more is a unit too many."""
_SECTIONS = ("processes", "containers")


def program(document: Document, pointer: Pointer, command: object, *, staged: bool = False) -> Iterator[Finding]:
    """Yield a finding where the first word of a command is no path: which program it means would be the host's to say.

    `staged`: it may be one of what is about to be switched to.
    """
    first = command[0] if isinstance(command, list) and command else None
    if isinstance(first, str) and not first.startswith(("/", "{staged") if staged else "/"):
        message = f"{spelled(pointer)}: {shown(first)} is no absolute path"
        remedy = "write the whole path of the program, such as /usr/sbin/visudo"
        if staged:
            yield refused(document, "check", pointer, message, remedy=f"{remedy}, or {{staged:PATH}} for one that this release brings")
        else:
            yield refused(document, "command", pointer, message, remedy=remedy)


def _programs(document: Document) -> Iterator[Finding]:
    for section, field in (("processes", "command"), ("actions", "run")):
        for pointer, item in items(document, section):
            yield from program(document, (*pointer, field, 0), item.get(field))


def _limits(document: Document) -> Iterator[Finding]:
    """Yield amounts of memory that nobody can have meant."""
    for section in _SECTIONS:
        for pointer, item in items(document, section):
            limits = item.get("limits")
            stated = limits.get("memory") if isinstance(limits, dict) else None
            amount = _octets(stated) if isinstance(stated, str) else None
            if amount is not None and not LEAST_MEMORY <= amount <= MOST_MEMORY:
                where = (*pointer, "limits", "memory")
                message = f"{spelled(where)}: {shown(stated)} is {amount:,} bytes, which no program could live with or no host has"
                yield schema_refused(document, "limit", where, message, remedy="write an amount with its unit, such as 256Mi")


def _octets(text: str) -> int | None:
    try:
        return quantity.octets(text)
    except MalformedError:
        return None


def _services(document: Document) -> Iterator[Finding]:
    for pointer, item in items(document, "services"):
        yield from _unit(document, pointer, item)
        yield from _timer(document, pointer, item)
        yield from _masked(document, pointer, item)
        yield from _drop_ins(document, pointer, item)


def _unit(document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Finding]:
    if "unit" in item and "source" in item:
        message = "a service has its unit file as unit or as source, not both"
        yield alternatives(document, (*pointer, "source"), message, "leave one of them out", at_key=True)


def _timer(document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a timer that starts nothing: one of what is no service, or one beside a service of its own."""
    name = item.get("name")
    if not isinstance(name, str):
        return
    if "timer" in item and not name.endswith(".service"):
        message = f"only a service has a timer, and {shown(name)} is none"
        yield alternatives(document, (*pointer, "timer"), message, "give the timer to the service that it starts", at_key=True)
    names = {other.get("name"): other for _, other in items(document, "services")}
    started = f"{name.removesuffix('.timer')}.service"
    if name.endswith(".timer") and "unit" in item and started not in names and "Unit=" not in str(item["unit"]):
        message = f"this component brings {name}, and no {started} that it would start"
        remedy = f"add the service {started}, or name another in the timer with Unit="
        yield alternatives(document, (*pointer, "name"), message, remedy)
    beside = f"{name.removesuffix('.service')}.timer"
    if "timer" in item and beside in names:
        message = f"{spelled((*pointer, 'timer'))}: {beside} is a service of this component already"
        yield refused(document, "duplicate", (*pointer, "timer"), message, remedy="leave one of them out", at_key=True)


def _masked(document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a masked unit can't have: systemd puts a link to nothing in the place of its unit file."""
    if item.get("masked") is not True:
        return
    contrary = [name for name in ("unit", "source", "timer", "dropIns") if item.get(name)]
    contrary += ["state"] if item.get("state") == "running" else []
    contrary += ["enabled"] if item.get("enabled") is True else []
    for name in contrary:
        message = f"{name} does not belong to a unit that is masked, which nothing and nobody can start"
        yield alternatives(document, (*pointer, name), message, "leave it out, or masked", at_key=True)


def _drop_ins(document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Finding]:
    drop_ins = item.get("dropIns")
    seen: set[str] = set()
    for index, one in enumerate(drop_ins if isinstance(drop_ins, list) else ()):
        name = one.get("name") if isinstance(one, dict) else None
        if isinstance(name, str) and name in seen:
            where = (*pointer, "dropIns", index, "name")
            message = f"{spelled(where)}: name {shown(name)} stands in {spelled((*pointer, 'dropIns'))} already"
            yield refused(document, "duplicate", where, message, remedy="rename or remove one of them")
        elif isinstance(name, str):
            seen.add(name)


def _repositories(document: Document) -> Iterator[Finding]:
    for pointer, item in items(document, "packageRepositories"):
        stated = [name for name in ("key", "source") if name in item]
        if not stated:
            message = "a package repository needs key or source: what nobody signed is not installed"
            yield alternatives(document, pointer, message, "add the armoured key", needs=("key", "source"))
        if len(stated) > 1:
            message = "a package repository has key or source, not both"
            yield alternatives(document, (*pointer, "source"), message, "leave one of them out", at_key=True)
        if item.get("manager") == "apt" and not item.get("suites"):
            yield alternatives(document, pointer, "a repository for apt needs suites", "add suites, such as [bookworm]", needs=("suites",))
        for name in ("suites", "components"):
            if item.get("manager") == "dnf" and name in item:
                message = f"{name} belongs to a repository for apt, and this one is for dnf"
                yield alternatives(document, (*pointer, name), message, "leave it out", at_key=True)


_MEANINGLESS: Mapping[str, tuple[str, ...]] = {
    "packages": ("version", "hold", "ifGone"),
    "users": ("uid", "group", "groups", "home", "shell", "comment", "system"),
    "groups": ("gid", "system"),
    "hostFiles": ("content",),
}
"""What says nothing about something that must not be there."""


def _absent(document: Document) -> Iterator[Finding]:
    for section, fields in _MEANINGLESS.items():
        for pointer, item in items(document, section):
            for name in fields if item.get("absent") is True else ():
                if name in item:
                    message = f"{name} does not belong to what must not be there"
                    yield alternatives(document, (*pointer, name), message, "leave it out, or absent", at_key=True)
    for pointer, item in items(document, "hostFiles"):
        if item.get("absent") is not True and not item.get("content"):
            yield alternatives(document, pointer, "a block needs content", "add its lines", needs=("content",))


def _blocks(document: Document) -> Iterator[Finding]:
    """Yield blocks of one name in one file."""
    first: dict[tuple[str, str], Pointer] = {}
    for pointer, item in items(document, "hostFiles"):
        key = (str(item.get("path")), str(item.get("name")))
        if first.setdefault(key, pointer) != pointer:
            message = f"{spelled(pointer)}: block {shown(key[1])} of {shown(key[0])} stands in {spelled(first[key])} already"
            yield refused(document, "duplicate", (*pointer, "name"), message, remedy="rename or remove one of them")


def _reboot(document: Document) -> Iterator[Finding]:
    stated = document.spec.get("reboot")
    within = stated.get("within") if isinstance(stated, dict) else None
    if isinstance(within, dict):
        yield from rollouts.window(document, ("spec", "reboot", "within"), within)


def _crash_loops(document: Document) -> Iterator[Finding]:
    """Yield processes that are never started again, and yet say when they are given up."""
    for pointer, item in items(document, "processes"):
        for name in ("backOff", "crashLoop") if item.get("restart") == "never" else ():
            if name in item:
                message = f"{name} does not belong to a process that is never started again"
                yield alternatives(document, (*pointer, name), message, "leave it out, or restart", at_key=True)


CHECKS: tuple[Callable[[Document], Iterator[Finding]], ...] = (
    _programs,
    _limits,
    _crash_loops,
    _services,
    _repositories,
    _absent,
    _blocks,
    _reboot,
)
