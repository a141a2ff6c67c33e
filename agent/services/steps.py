"""From what a release says of a unit and what systemd has, to what is to be done: values in, values out.

Each step is there once for a change, and a second look after it was carried out has none. A restart takes in what a reload would.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from agent.protocol.errors import RefusedError
from agent.protocol.state import Service
from agent.services.noted import Record, WantedService
from agent.services.seen import Seen, require_unit
from agent.services.systemd import Systemd

Kind = Literal["unmask", "enable", "disable", "start", "restart", "reload", "stop", "mask"]
STARTS_AT_BOOT = frozenset({"enabled", "alias", "generated", "indirect"})
"""States of a unit file that starts at boot, or that a generator, or an instance, takes care of."""
MAY_START_AT_BOOT = frozenset({"enabled", "enabled-runtime", "linked", "linked-runtime", "alias", "indirect"})
"""States of a unit file that `disable` changes."""
NEVER_LINKED = frozenset({"generated", "static", "transient"})
"""States of a unit file that nothing links to. Of a file that is gone systemd may say anything, while the links to it are there."""
UNFIT = {"static": "it has no [Install] section", "transient": "it is transient", "bad": "its unit file can't be read"}
"""States in which nothing can be enabled, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to be done to one unit, with what it is done for: "not running", "/etc/web.conf changed"."""

    kind: Kind
    unit: str
    why: tuple[str, ...]
    after_failure: bool = False
    """The unit had failed and something changed since: how often it was started is forgotten first."""


def require_consistent(service: Service) -> None:
    """Refuse a service that can't be had, before anything is touched.

    Raises:
        InputError: its name is none of a unit.
        RefusedError: masked, and yet running, enabled or with a unit file of its own.
    """
    name = require_unit(service.name)
    own = f"/etc/systemd/system/{name}" in service.unit_files
    if service.masked and (service.state == "running" or service.enabled or own):
        message = f"service {name}: masked, and yet running, enabled or with a unit file of its own; say one of the two"
        raise RefusedError(message)


def steps(wanted: WantedService, seen: Seen, noted: Record) -> list[Step]:
    """Return what brings one unit to what its release says, in the order in which it is to be done.

    A unit that runs and may have read another content than that of now is restarted or reloaded; one that stands still is not.

    Raises:
        RefusedError: it can't be enabled: there is no [Install] in it, say.
    """
    service = wanted.service
    restart = _differing(service.restart_on, wanted.restart_on, noted.restart_on)
    reload = _differing(service.reload_on, wanted.reload_on, noted.reload_on)
    if service.masked:
        return [*_stopping(service, seen), *_at_boot(service, seen), *_masking(service, seen)]
    unmask = [Step(kind="unmask", unit=service.name, why=("masked",))] if seen.masked else []
    return [*unmask, *_at_boot(service, seen), *_running(service, seen, noted, restart, reload)]


def retiring(unit: str, seen: Seen) -> list[Step]:
    """Return what takes down a unit that came with a release which no longer asks for it: it is stopped and doesn't start at boot."""
    why = ("leaves the release",)
    stop = [Step(kind="stop", unit=unit, why=why)] if seen.runs else []
    return [*stop, *([Step(kind="disable", unit=unit, why=why)] if seen.file_state not in NEVER_LINKED else [])]


def carry_out(step: Step, systemd: Systemd) -> None:
    """Do one step and wait for its end.

    Raises:
        RetryError: systemd said no, with its words and the unit's last lines; or it did not end in time.
    """
    if step.after_failure:
        systemd.act("reset-failed", step.unit)
    if step.kind == "unmask":
        systemd.act("unmask", step.unit, "--runtime")
    systemd.act("reload-or-restart" if step.kind == "reload" else step.kind, step.unit)


def _differing(listed: Iterable[str], now: Mapping[str, str], noted: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths whose content differs from what was read, also those that are gone from what is listed."""
    changed = {path for path, content in now.items() if noted.get(path) != content}
    above = tuple(listed)
    gone = {path for path in noted if path not in now and any(path == one or path.startswith(one.rstrip("/") + "/") for one in above)}
    return tuple(sorted(changed | gone))


def _at_boot(service: Service, seen: Seen) -> Iterator[Step]:
    state = seen.file_state
    if service.enabled is None:
        return
    if service.enabled and state not in STARTS_AT_BOOT:
        if state in UNFIT:
            message = f"{service.name} can't be enabled: {UNFIT[state]}; give it an [Install] section, or leave `enabled` out"
            raise RefusedError(message)
        yield Step(kind="enable", unit=service.name, why=("does not start at boot",))
    if not service.enabled and (state in MAY_START_AT_BOOT or (seen.masked and not service.masked)):
        yield Step(kind="disable", unit=service.name, why=("starts at boot",))


def _stopping(service: Service, seen: Seen) -> Iterator[Step]:
    if seen.runs:
        yield Step(kind="stop", unit=service.name, why=("running",))


def _masking(service: Service, seen: Seen) -> Iterator[Step]:
    if not seen.masked:
        yield Step(kind="mask", unit=service.name, why=("not masked",))


def _running(service: Service, seen: Seen, noted: Record, restart: tuple[str, ...], reload: tuple[str, ...]) -> Iterator[Step]:
    """Yield the one step that has it run, or not, with what it should have read."""
    if service.state == "stopped":
        yield from _stopping(service, seen)
    elif not seen.runs:
        changed = bool(restart or reload)
        if service.state == "running" and not (_has_run(seen) and noted.brought and not changed):
            yield Step(kind="start", unit=service.name, why=(_standing(seen),), after_failure=seen.active == "failed" and changed)
    elif restart:
        yield Step(kind="restart", unit=service.name, why=_changed(restart))
    elif reload and seen.can_reload:
        yield Step(kind="reload", unit=service.name, why=_changed(reload))
    elif reload:
        yield Step(kind="restart", unit=service.name, why=(*_changed(reload), "it has no ExecReload"))


def _has_run(seen: Seen) -> bool:
    """Whether a unit that stands still has done all that it is for: a one-shot that ended well."""
    return seen.kind == "oneshot" and not seen.stays and seen.active == "inactive" and seen.result == "success"


def _standing(seen: Seen) -> str:
    if seen.active == "failed":
        return f"failed ({seen.result})"
    return "not running"


def _changed(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{path} changed" for path in paths)
