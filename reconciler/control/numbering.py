"""Which numbers publishing goes on above: they only grow under a key, and start anew with another where a thief has pushed them up."""

import msgspec

from reconciler.control.records import RESTORED_JUMP, Floors
from reconciler.publication.published import Published

REACHABLE = 10**12
"""No honest publisher gets beyond it: a thousand a second for thirty years. A thief may have, and its rotation undoes that."""


def floors_of(published: Published | None, recorded: Floors, unsigned: frozenset[str] = frozenset()) -> Floors:
    """Return the numbers above which to go on: those published, or far above what is recorded if less stands published.

    Where keys were rotated (what stands is `unsigned` by those of now), numbers go on far above what stands, but for those that only a
    thief can have reached: agents drop the floors of rotated keys, so those start over.
    """
    standing = Floors()
    if published is not None:
        standing = Floors(
            timestamp=published.timestamp.version,
            snapshot=published.snapshot.version,
            rollouts=published.file("rollouts").version,
            serial=published.document.serial,
            epoch=published.document.epoch,
        )
    if recorded.timestamp <= standing.timestamp and not unsigned:
        return standing
    honest, standing = _honest(recorded, unsigned), _honest(standing, unsigned)
    names = ("timestamp", "snapshot", "rollouts", "serial")
    jumped = {name: max(getattr(honest, name), getattr(standing, name)) + RESTORED_JUMP for name in names}
    return Floors(**jumped, epoch=max(honest.epoch, standing.epoch))


def _honest(floors: Floors, rotated: frozenset[str]) -> Floors:
    """Return floors without the numbers of rotated roles that only a thief can have reached; a snapshot holds up rollouts too."""
    marks = {
        "timestamp": {"timestamp"},
        "snapshot": {"snapshot"},
        "rollouts": {"rollouts", "snapshot"},
        "serial": {"rollouts"},
        "epoch": {"rollouts"},
    }
    dropped = {mark: 0 for mark, roles in marks.items() if roles <= rotated and getattr(floors, mark) > REACHABLE}
    return msgspec.structs.replace(floors, **dropped)
