"""The rollout document that follows from how a rollout stands; the same document where nothing that agents act on changes."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from agent.protocol import rollout
from agent.protocol.rollout import Held, ModeSwitch, Release, RolloutDocument
from reconciler.control.rollout.progress import Progress
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


def document_of(
    previous: RolloutDocument | None,
    progress: Progress,
    modes: Sequence[ModeSwitch],
    *,
    fleet: str,
    epoch: int,
    now: datetime,
    serial_floor: int = 0,
) -> RolloutDocument:
    """Return the rollout document of how a rollout stands; `previous` itself where it says the same.

    A pause changes nothing for hosts: who was admitted keeps the candidate. Arguments as of `next_document`.
    """
    last = previous.serial if previous else 0
    candidate = progress.candidate if progress.wave >= 0 else None
    wanted = RolloutDocument(
        format=rollout.FORMAT,
        fleet=fleet,
        serial=max(last, serial_floor) + 1,
        epoch=epoch,
        attempt=progress.attempt if candidate is not None else previous.attempt if previous else progress.attempt,
        stable=progress.stable,
        candidate=candidate.release if candidate is not None else None,
        not_before=stamp(now),
        selectors=progress.selectors if candidate is not None else [],
        bound=progress.bound if candidate is not None else 0,
        held=Held(names=progress.held) if candidate is not None else Held(),
        modes=list(modes),
    )
    if previous is not None and serial_floor <= last and _substance(previous) == _substance(wanted):
        return previous
    return wanted


def _substance(document: RolloutDocument) -> RolloutDocument:
    return msgspec.structs.replace(document, serial=0, epoch=0, not_before="")
