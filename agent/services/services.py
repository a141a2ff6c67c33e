"""The services of one host, brought to what releases say, and what they have read noted.

Convergent: each call compares before it changes, so that one which was cut short is finished by the next, and a second does nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from agent.protocol.errors import RefusedError
from agent.protocol.state import Service
from agent.services import seen as looking
from agent.services import steps as deciding
from agent.services.noted import UNREAD, Noted, Record, WantedService
from agent.services.seen import Seen
from agent.services.steps import Step
from agent.services.systemd import Systemd


class Services:
    """For effects, in this order: `require` and `adopt` before a switch; after it `retire`, `refresh`, and `bring` for one after the other.

    `record` is the file in which is noted what units have read.
    """

    def __init__(self, *, systemd: Systemd, record: Path) -> None:
        self.systemd = systemd
        self._noted = Noted(record)

    def require(self, services: Collection[Service]) -> None:
        """Refuse services that this host can't have; changes nothing.

        Raises:
            RefusedError: no systemd runs this host, or one of them contradicts itself.
        """
        for service in services:
            deciding.require_consistent(service)
        if services and not self.systemd.available():
            name = min(service.name for service in services)
            message = f"service {name}: systemd does not run this host; leave services out for it, or have the agent run processes"
            raise RefusedError(message)

    def adopt(self, wanted: Iterable[WantedService], changing: Collection[str]) -> None:
        """Before a switch: note that what runs now has read what the switch leaves as it is, and not what it is about to change.

        `changing` are the paths that the switch changes. What is noted already stays; call it before anything is touched.
        """
        listed = [one for one in wanted if one.restart_on or one.reload_on]
        seen = self.look(one.service.name for one in listed)
        found = {}
        for one in listed:
            noted = self._noted.unit(one.service.name)
            if seen[one.service.name].runs:
                restart_on = {**_read(one.restart_on, changing), **noted.restart_on}
                reload_on = {**_read(one.reload_on, changing), **noted.reload_on}
                found[one.service.name] = msgspec.structs.replace(noted, restart_on=restart_on, reload_on=reload_on)
        self._noted.note(found)

    def look(self, units: Iterable[str]) -> dict[str, Seen]:
        """Return what systemd says of units, by name, in one call; raises as `seen.look`."""
        return looking.look(self.systemd, units)

    def refresh(self, wanted: Collection[WantedService]) -> dict[str, Seen]:
        """Have systemd read its unit files anew if any changed, came or went; return what it then says of all these services.

        Give it those of all fleets: a unit file that none of them has is one that went. Units for which there is nothing to do are noted.

        Raises:
            RetryError: systemd does not answer, or can't read them.
        """
        files = {path: content for one in wanted for path, content in one.unit_files.items()}
        names = [one.service.name for one in wanted]
        seen = self.look(names)
        if files != self._noted.unit_files or any(one.needs_daemon_reload for one in seen.values()):
            self.systemd.daemon_reload()
            self._noted.note_unit_files(files)
            seen = self.look(names)
        self._noted.note({one.service.name: _as_read(one) for one in wanted if self._quiet(one, seen[one.service.name])})
        return seen

    def _quiet(self, wanted: WantedService, seen: Seen) -> bool:
        try:
            return not self.plan(wanted, seen)
        except RefusedError:
            return False

    def plan(self, wanted: WantedService, seen: Seen) -> list[Step]:
        """Return what `bring` would do; changes nothing. Raises `RefusedError` as `steps`."""
        return deciding.steps(wanted, seen, self._noted.unit(wanted.service.name))

    def bring(self, wanted: WantedService, seen: Seen) -> list[Step]:
        """Bring one service to what its release says and note what it has read; return what was done.

        Raises:
            RefusedError: it can't be enabled.
            RetryError: a step failed, with the unit's last lines. Those before it were done; the next call goes on from there.
        """
        name = wanted.service.name
        todo = self.plan(wanted, seen)
        noted = self._noted.unit(name)
        self._noted.note({name: msgspec.structs.replace(noted, own=wanted.own or noted.own, brought=noted.brought and not todo)})
        for step in todo:
            deciding.carry_out(step, self.systemd)
        self._noted.note({name: _as_read(wanted)})
        return todo

    def leaving(self, wanted: Collection[str]) -> list[Step]:
        """Return what `retire` would do; changes nothing."""
        own = [name for name in self._noted.own() if name not in wanted]
        seen = self.look(own)
        return [step for name in own for step in deciding.retiring(name, seen[name])]

    def retire(self, wanted: Collection[str]) -> list[Step]:
        """Stop and disable units that came with releases and that none of all fleets names any more (`wanted`); return what was done.

        Before systemd reads its unit files anew: it knows how to stop a unit as long as it has it in memory. The host's own units,
        which a release only steered, are left as they are. Raises `RetryError`.
        """
        todo = self.leaving(wanted)
        for step in todo:
            deciding.carry_out(step, self.systemd)
        for unit, seen in self.look({step.unit for step in todo}).items():
            if seen.active == "failed":  # what did not end by itself counts as failed, and would stay on the host's list of failures
                self.systemd.act("reset-failed", unit)
        self._noted.forget([name for name in self._noted.known() if name not in wanted])
        return todo


def _read(contents: Mapping[str, str], changing: Collection[str]) -> dict[str, str]:
    return {path: UNREAD if path in changing else content for path, content in contents.items()}


def _as_read(wanted: WantedService) -> Record:
    """Return the record of a unit that is as its release says."""
    return Record(restart_on=dict(wanted.restart_on), reload_on=dict(wanted.reload_on), own=wanted.own, brought=True)
