"""Reading what hosts report: strictly, and within bounds that are tighter than the wire's types can say.

One batch with an odd value must not spoil the transaction that it shares with others, so whatever a database could choke on (numbers
beyond 53 bits, odd names) is refused here. Bytes that are refused are refused whole: a host that sends such is broken, or no host.
"""

import base64
import binascii
import re
from collections.abc import Iterable

import msgspec

from agent.protocol import codec, report
from agent.protocol.errors import MalformedError
from agent.protocol.identity import LABEL
from agent.protocol.report import Batch, FleetReport, Receipt, SignedBatch

CARRIED_LIMIT = 1_600_000
"""Bytes of a batch that a relay brings: a batch of its greatest size in base64, and its certificates."""
HEARTBEAT_LIMIT = 512
"""Bytes of a batch that says nothing: some hundred."""
NUMBER_LIMIT = 2**53
"""Numbers below it mean the same to every JSON reader."""
DRIFT_LIMIT = 1_000_000
"""Paths that drifted on one host in one fleet."""
TEXT_LIMIT = 8192
"""Characters of a reason or a text; agents cut theirs at 2,000."""
LIST_LIMIT = 200
"""Warnings, problems and fleets that left, in one batch."""
DEPTH_LIMIT = 8
"""Levels of facts within facts."""
_WORD = re.compile(r"[!-~][ -~]{0,254}|")
"""A digest, a group, a kind, an instant: printable ASCII."""
_INSTANT = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)Z")
"""When a batch was sent; an expression, for each heartbeat is held to it."""
_CARRIED = b'{"batch":'
"""How the canonical bytes of a `SignedBatch`, and of nothing else, begin."""


def decode(body: bytes) -> Batch | SignedBatch:
    """Read the body of a report; raise `MalformedError` for anything that no agent sends."""
    if body.startswith(_CARRIED):
        carried = codec.decode(body, SignedBatch, what="report", limit=CARRIED_LIMIT)
        _require_format(carried.format)
        return carried
    return decode_batch(body)


def decode_batch(body: bytes) -> Batch:
    """Read a batch; raise `MalformedError` for anything that no agent sends."""
    beat = _heartbeat(body)
    if beat is not None:
        return beat
    batch = codec.decode(body, Batch, what="report", limit=report.BATCH_LIMIT)
    _require_format(batch.format)
    _require_batch(batch)
    return batch


def carried_bytes(text: str, *, what: str) -> bytes:
    """Return what base64 holds; raise `MalformedError` where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"{what}: not base64"
        raise MalformedError(message) from error


def _heartbeat(body: bytes) -> Batch | None:
    """Return a batch that is a heartbeat, None for any other: nine of ten, for which the long way takes five times as long.

    It is accepted only where it would be written just so, which is what the long way asks for too.
    """
    if len(body) > HEARTBEAT_LIMIT:
        return None
    try:
        batch = msgspec.json.decode(body, type=Batch)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None  # the long way says what is wrong
    plain = Batch(format=report.FORMAT, sequence=batch.sequence, sent_at=batch.sent_at, version=batch.version)
    if batch != plain or msgspec.json.encode(plain, order="sorted") != body or not 0 < batch.sequence < NUMBER_LIMIT:
        return None
    _require_sent(batch)
    return batch


def _require_format(number: int) -> None:
    if number != report.FORMAT:
        message = f"report: format {number}, and this server reads format {report.FORMAT}; upgrade whichever side is older"
        raise MalformedError(message)


def _require_sent(batch: Batch) -> None:
    if not _INSTANT.fullmatch(batch.sent_at):
        _refuse("`sentAt` is an instant like 2026-11-22T21:30:00Z")
    _require_words(batch.version)


def _require_batch(batch: Batch) -> None:
    if not 0 < batch.sequence < NUMBER_LIMIT:
        _refuse("a sequence begins with 1")
    _require_sent(batch)
    _require_numbers(batch.dropped)
    counts = ((batch.receipts, report.RECEIPTS_LIMIT), (batch.events, report.EVENTS_LIMIT), (batch.statuses, report.STATUSES_LIMIT))
    if any(len(items) > limit for items, limit in counts) or len(batch.gone) > LIST_LIMIT or len(batch.problems or ()) > LIST_LIMIT:
        _refuse("more receipts, events, statuses or problems than one batch may hold")
    _require_fleets([*batch.gone, *(status.fleet for status in batch.statuses), *(event.fleet for event in batch.events if event.fleet)])
    if len({status.fleet for status in batch.statuses}) != len(batch.statuses):
        _refuse("two statuses of one fleet")
    _require_texts(batch.problems or ())
    for status in batch.statuses:
        _require_status(status)
    for signed in batch.receipts:
        _require_words(signed.certificate, signed.signature)
        _require_receipt(signed.receipt)
    for event in batch.events:
        _require_words(event.kind, event.at)
        _require_texts((event.path, event.text))
        if event.drift is not None:
            _require_words(event.drift.expected, event.drift.actual, event.drift.since, event.drift.changed, *event.drift.differs)
    _require_shallow(batch.facts)


def _require_status(status: FleetReport) -> None:
    _require_words(status.since, status.digest, status.desired, status.group, status.mode or "", status.commit)
    _require_numbers(status.members, status.attempt, status.serial, status.generation)
    if not 0 <= status.drift <= DRIFT_LIMIT or len(status.warnings) > LIST_LIMIT:
        _refuse("a status with more drift or warnings than one may have")
    _require_texts((status.why, status.unheard, *status.warnings))
    if status.usage is not None:
        _require_words(status.usage.digest)
        _require_numbers(status.usage.attempt, status.usage.seconds)
        for used in (status.usage.after, status.usage.before or status.usage.after):
            _require_numbers(used.cpu, used.memory, used.restarts, used.startup or 0)


def _require_receipt(receipt: Receipt) -> None:
    _require_words(receipt.fleet, receipt.agent, receipt.digest, receipt.group, receipt.mode or "", receipt.at)
    _require_numbers(receipt.members, receipt.attempt, receipt.serial, receipt.generation)
    _require_texts((receipt.why,))


def _require_fleets(names: Iterable[str]) -> None:
    if not all(map(LABEL.fullmatch, names)):
        _refuse("a fleet is called by its own name here")


def _require_words(*words: str) -> None:
    if not all(_WORD.fullmatch(word) for word in words):
        _refuse("a name, a digest or an instant holds something else")


def _require_texts(texts: Iterable[str]) -> None:
    if not all(len(text) <= TEXT_LIMIT for text in texts):
        _refuse(f"a text of more than {TEXT_LIMIT} characters")


def _require_numbers(*numbers: int) -> None:
    if not all(0 <= number < NUMBER_LIMIT for number in numbers):
        _refuse("a number is negative, or greater than any that counts something")


def _require_shallow(value: object) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT):
        level = [inner for outer in level if isinstance(outer, (dict, list)) for inner in _inner(outer)]
    if any(isinstance(one, (dict, list)) for one in level):
        _refuse(f"facts are nested more than {DEPTH_LIMIT} deep")


def _inner(value: dict[str, object] | list[object]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value


def _refuse(why: str) -> None:
    message = f"report: {why}"
    raise MalformedError(message)
