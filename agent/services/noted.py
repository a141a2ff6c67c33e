"""What each unit had read when it was last started, restarted or reloaded, by digest: one durable file.

Compared with what a release says now, it tells whether a unit is to be restarted, also after a crash between the switch and the
restart. A unit that ran before ordain came is adopted before the first switch: it has read what that switch leaves as it is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from agent.disk import read_optional
from agent.protocol import codec, durable
from agent.protocol.errors import MalformedError, disk_trouble
from agent.protocol.state import Service, Struct

FORMAT = 1
UNREAD = ""
"""The content of a path that is about to change under a unit that runs: not that of any file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedService:
    """A service as its release says, and path → content of what it depends on, as the release says that too."""

    service: Service
    restart_on: Mapping[str, str] = field(default_factory=dict)
    reload_on: Mapping[str, str] = field(default_factory=dict)
    unit_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> bool:
        """Whether the unit itself comes with the release, and not drop-ins alone."""
        return self.service.comes_along


class Record(Struct):
    """What one unit is known to have read; a path that is missing may have had any content."""

    restart_on: dict[str, str] = {}
    reload_on: dict[str, str] = {}
    own: bool = False
    """Its unit file came with a release, so it goes with it."""
    brought: bool = False
    """It was brought to where its release wants it with just these contents; for a one-shot: it has run."""


class Records(Struct):
    """All units that releases named, and the unit files that the manager has read."""

    format: int = FORMAT
    units: dict[str, Record] = {}
    unit_files: dict[str, str] = {}


class Noted:
    """The record at `path`; a damaged one counts as empty, so that units are restarted once too often and never too seldom.

    What can't be written raises `RetryError`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._records = read_optional(path, Records) or Records()
        except MalformedError:
            self._records = Records()

    def unit(self, name: str) -> Record:
        """Return what a unit is known to have read."""
        return self._records.units.get(name, Record())

    def own(self) -> list[str]:
        """Return the units that came with releases."""
        return [name for name, record in self._records.units.items() if record.own]

    def known(self) -> Collection[str]:
        """Return all units that are noted."""
        return self._records.units.keys()

    @property
    def unit_files(self) -> Mapping[str, str]:
        """Path → content of the unit files that the manager has read."""
        return self._records.unit_files

    def note(self, units: Mapping[str, Record]) -> None:
        """Note what units have read, for keeps."""
        self._write(units={**self._records.units, **units})

    def forget(self, names: Collection[str]) -> None:
        """Forget units that no release names any more."""
        self._write(units={name: record for name, record in self._records.units.items() if name not in names})

    def note_unit_files(self, files: Mapping[str, str]) -> None:
        """Note which unit files the manager has read."""
        self._write(unit_files=dict(files))

    def _write(self, **changes: object) -> None:
        records = msgspec.structs.replace(self._records, **changes)
        if records != self._records:
            try:
                durable.replace(self._path, codec.canonical(records), mode=0o600)
            except OSError as error:
                raise disk_trouble(error, where=str(self._path)) from error
            self._records = records
