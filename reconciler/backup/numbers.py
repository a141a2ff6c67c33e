"""After a restore both zones go on far above the numbers of the backup: agents have seen more since, and take nothing older.

Above what the backup holds come the seconds since it was made, and `RESTORED_JUMP` on top (in `control.numbering`, and here for
releases). Nothing is published more often than once a second for long, so that a second restore of one backup is above the first too.
"""

from datetime import datetime

import msgspec

from agent.protocol.errors import OrdainError
from reconciler.control import records
from reconciler.control.records import RESTORED_JUMP, Floors, Status
from reconciler.publication import layout
from reconciler.publication.published import read_published
from reconciler.publication.store import Store
from reconciler.publication.times import instant


def jump(store: Store, *, made_at: str, now: datetime) -> list[str]:
    """Leave in a restored store what makes each zone go on above all that agents may have seen; return the fleets, `tenant/fleet`.

    `made_at` is when the backup was made. Doing it twice only jumps further.
    """
    since = max(int((now - instant(made_at, what="backup")).total_seconds()), 0)
    fleets = sorted({tuple(key.split("/")[1:3]) for key in _about_fleets(store)})
    for tenant, fleet in fleets:
        _jump_fleet(store, tenant, fleet, since)
    return [f"{tenant}/{fleet}" for tenant, fleet in fleets]


def _about_fleets(store: Store) -> list[str]:
    """Return prefixes `<zone>/<tenant>/<fleet>` of all that stands of fleets."""
    found: list[str] = []
    for zone in ("approved/", "public/", "records/"):
        for tenant in layout.children(store, zone):
            found += [f"{zone}{tenant}/{fleet}" for fleet in layout.children(store, f"{zone}{tenant}/")]
    return found


def _jump_fleet(store: Store, tenant: str, fleet: str, since: int) -> None:
    known = records.read_status(store, tenant, fleet)
    status = known or Status(format=records.FORMAT, tenant=tenant, fleet=fleet, state="waiting", why="restored from a backup")
    published, listed = _published(store, tenant, fleet)
    floors = {name: max(getattr(status.floors, name), getattr(published, name)) + since + 1 for name in Floors.__struct_fields__}
    floors["epoch"] += RESTORED_JUMP  # of leases, which jump by nothing else
    records.write_status(store, msgspec.structs.replace(status, floors=Floors(**floors)))
    approved = layout.numbered(store, layout.approved(tenant, fleet))
    reached = max([status.releases, listed, *approved.get("releases", []), *approved.get(layout.RESTORED, [])])
    if reached:
        store.create(layout.approved(tenant, fleet, f"{reached + since + RESTORED_JUMP}.{layout.RESTORED}.json"), b"{}")


def _published(store: Store, tenant: str, fleet: str) -> tuple[Floors, int]:
    """Return what stands published: its numbers, and the version of its releases; zeros where nothing can be read."""
    try:
        found = read_published(store, tenant, fleet)
    except OrdainError:  # damaged: records have the numbers, and `serve` publishes it anew
        found = None
    if found is None:
        return Floors(), 0
    floors = Floors(
        timestamp=found.timestamp.version,
        snapshot=found.snapshot.version,
        rollouts=found.file("rollouts").version,
        serial=found.document.serial,
        epoch=found.document.epoch,
    )
    return floors, found.file("releases").version
