"""Receipts of what came of releases here: kept until they can be sent, the newest within a bound."""

from typing import Literal

from agent.disk import Disk, read_optional
from agent.following.admission import Wanted
from agent.logs import timestamp
from agent.protocol import codec, durable, report
from agent.protocol.report import Receipt
from agent.protocol.state import Struct

KEPT = 500
"""Receipts on disk: weeks of changes without contact, in under 300 KB."""


Result = Literal["applied", "refused", "failed", "restored", "waiting"]


class Receipts(Struct):
    """Oldest first."""

    receipts: list[Receipt] = []


def read(disk: Disk) -> list[Receipt]:
    """Return the receipts that are kept, oldest first."""
    return (read_optional(disk.receipts, Receipts) or Receipts()).receipts


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


def record(disk: Disk, receipt: Receipt) -> None:
    """Keep a receipt, unless the fleet's last one says the same already."""
    known = read(disk)
    last = next((old for old in reversed(known) if old.fleet == receipt.fleet), None)
    if last is None or _said(last) != _said(receipt):
        durable.replace(disk.receipts, codec.canonical(Receipts(receipts=[*known, receipt][-KEPT:])), mode=0o600)


def _said(receipt: Receipt) -> tuple[str | int | None, ...]:
    return receipt.digest, receipt.group, receipt.mode, receipt.attempt, receipt.generation, receipt.result, receipt.why
