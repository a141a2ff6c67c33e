"""From what a release says of a unit and what systemd has, to what is to be done: values in, values out.

Each step is there once for a change, and a second look after it was carried out has none. A restart takes in what a reload would.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.protocol.state import Service
from agent.services.noted import Record
from agent.services.seen import Seen
from agent.services.systemd import Systemd

Kind = Literal["unmask", "enable", "disable", "start", "restart", "reload", "stop", "mask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to be done to one unit, with what it is done for: "not running", "/etc/web.conf changed"."""

    kind: Kind
    unit: str
    why: tuple[str, ...]
    after_failure: bool = False
    """The unit had failed: its count of starts is forgotten first, for something changed since."""


def require_consistent(service: Service) -> None:
    """Refuse a service that can't be had, before anything is touched.

    Raises:
        RefusedError: masked, and yet running, enabled or with a unit file of its own; not a name of a unit.
    """
    raise NotImplementedError


def steps(service: Service, seen: Seen, noted: Record | None, contents: Mapping[str, str]) -> list[Step]:
    """Return what brings one unit to what its release says, in the order in which it is to be done.

    `noted` is what it had read when it was last started, None where that is not known: then a unit that runs is restarted (or
    reloaded), since it may have read anything. `contents` is path → digest of what stands at its restartOn and reloadOn paths now.

    Raises:
        RefusedError: it can't be enabled, or disabled: there is no [Install] in it, or a generator made it.
    """
    raise NotImplementedError


def stop_steps(unit: str, seen: Seen) -> list[Step]:
    """Return what takes a unit down that no release asks for any more: stopped, and disabled if its file goes with it."""
    raise NotImplementedError


def carry_out(step: Step, systemd: Systemd) -> None:
    """Do one step and wait for its end.

    Raises:
        RetryError: systemd said no, with its words and the unit's last lines; or it did not end in time.
    """
    raise NotImplementedError
