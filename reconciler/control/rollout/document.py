"""Which release each fleet moves to: pure decisions, time passed in.

Without reports from hosts nothing can be measured, so the newest release becomes stable at once and there is no candidate.
A frozen fleet needs nothing here: what is frozen is never approved, so its newest release is the one it stays at.
"""

from datetime import datetime

import msgspec

from agent.protocol import rollout
from agent.protocol.rollout import Release, RolloutDocument
from reconciler.publication.times import stamp

FIRST_ATTEMPT = 1


def next_document(
    previous: RolloutDocument | None, release: Release, *, fleet: str, epoch: int, now: datetime, serial_floor: int = 0
) -> RolloutDocument:
    """Return the rollout document that a fleet should have; `previous` itself where nothing changes.

    `fleet` is `<tenant>/<fleet>`, `epoch` that of the lease. A new document's serial is above `previous` and above `serial_floor`.
    """
    last = previous.serial if previous else 0
    wanted = RolloutDocument(
        format=rollout.FORMAT,
        fleet=fleet,
        serial=max(last, serial_floor) + 1,
        epoch=epoch,
        attempt=FIRST_ATTEMPT,
        stable=release,
        candidate=None,
        not_before=stamp(now),
    )
    if previous is not None and serial_floor <= last and _substance(previous) == _substance(wanted):
        return previous
    return wanted


def _substance(document: RolloutDocument) -> RolloutDocument:
    return msgspec.structs.replace(document, serial=0, epoch=0, not_before="")
