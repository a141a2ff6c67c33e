"""Receipts of what came of releases here; the spool keeps them until they are told."""

from typing import Literal

from agent.following.admission import Wanted
from agent.logs import timestamp
from agent.protocol import report
from agent.protocol.report import Receipt

Result = Literal["applied", "refused", "failed", "restored", "waiting"]


def receipt_of(wanted: Wanted, *, tenant: str, agent: str, generation: int, result: Result, why: str) -> Receipt:
    """Return the receipt of an outcome, as of now."""
    return Receipt(
        format=report.FORMAT,
        fleet=f"{tenant}/{wanted.fleet}",
        agent=agent,
        digest=wanted.release.digest,
        members=wanted.release.members,
        group=wanted.group,
        mode=wanted.mode,
        attempt=wanted.attempt,
        serial=wanted.serial,
        generation=generation,
        result=result,
        why=why,
        at=timestamp(),
    )
