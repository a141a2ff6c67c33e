"""What each unit had read when it was last started, restarted or reloaded, by digest: one durable file.

Compared with what lies on the disk now, it says whether a unit is to be restarted, also after a crash between the switch and the
restart. A unit that ran before ordain came is adopted before the first switch: what lies there then is what it has read.
"""

from agent.protocol.state import Struct

ABSENT = ""
"""The digest of a path at which nothing stands."""


class Record(Struct):
    """Path → digest of what one unit had read (restartOn) or taken in (reloadOn)."""

    restart_on: dict[str, str] = {}
    reload_on: dict[str, str] = {}


class Records(Struct):
    """All units, and the unit files that the manager has read."""

    format: int = 1
    units: dict[str, Record] = {}
    unit_files: dict[str, str] = {}
