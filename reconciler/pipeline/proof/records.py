"""Records: each signed by the repository key, numbered as its name says, standing on the one before; the last is the accepted one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from securesystemslib.signer import Key

from agent.protocol.errors import InputError, OrdainError
from reconciler.pipeline import accepted
from reconciler.pipeline.accepted import AcceptedState
from reconciler.pipeline.audit import PAYLOAD_TYPE, RECORDS, DecisionRecord, decode_record, encode_record, record_digest, record_key
from reconciler.pipeline.proof.shape import Misfit, Report, Unproven
from reconciler.pipeline.trail.decided import record_names
from reconciler.publication import envelope
from reconciler.publication.store import Store

_NAME = re.compile(re.escape(RECORDS) + r"([1-9][0-9]{0,15})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The decisions that the newest one stands on, oldest first, and the accepted state (None: it is not here, or not ours)."""

    records: tuple[DecisionRecord, ...]
    state: AcceptedState | None

    @property
    def by_number(self) -> Mapping[int, DecisionRecord]:
        """The records by their numbers."""
        return {one.sequence: one for one in self.records}

    @property
    def last(self) -> int:
        """The number of the newest decision that there must be."""
        return max([*self.by_number, self.state.decision if self.state is not None else 0])

    def before(self, record: DecisionRecord) -> DecisionRecord | None:
        """Return the record that one stands on, None for the first and where that one is missing or damaged."""
        found = next((one for one in reversed(self.records) if one.sequence < record.sequence), None)
        return found if found is not None and record_digest(encode_record(found)) == record.previous else None


def check_records(store: Store, keys: Sequence[Key], report: Report) -> Chain:
    """Verify all records and the accepted state; return those that hang together."""
    found: dict[int, DecisionRecord] = {}
    broken: set[int] = set()
    for name in record_names(store):
        record = _read(store, name, keys, report)
        number = _NAME.fullmatch(name)
        if record is not None:
            found[record.sequence] = record
        elif number is not None:
            broken.add(int(number[1]))
    state = _accepted(store, keys, found, broken, report)
    return Chain(records=tuple(_chain(found, broken, state, report)), state=state)


def _read(store: Store, name: str, keys: Sequence[Key], report: Report) -> DecisionRecord | None:
    try:
        record = decode_record(envelope.verify(store.get(name) or b"", PAYLOAD_TYPE, keys, what=name))
    except OrdainError as error:
        report.take("record", [Misfit(what="record", where=name, expected="a decision signed with the repository key", found=str(error))])
        return None
    if name != record_key(record.sequence):
        expected = record_key(record.sequence)
        report.take("record", [Misfit(what="record", where=name, expected=f"the record of {expected}", found="another one under its name")])
        return None
    return record


def _accepted(
    store: Store, keys: Sequence[Key], found: Mapping[int, DecisionRecord], broken: set[int], report: Report
) -> AcceptedState | None:
    try:
        stored = accepted.read(store, *keys)
    except OrdainError as error:
        report.take(
            "accepted state",
            [Misfit(what="accepted state", where=accepted.KEY, expected="signed with the repository key", found=str(error))],
        )
        return None
    if stored is None:
        why = "it is not in this store, so the newest record found is taken for the last, and later ones may be missing"
        report.take("accepted state", [Unproven(what="accepted state", where=accepted.KEY, why=why)])
        return None
    report.take("accepted state", _against(stored.state, found, broken))
    return stored.state


def _against(state: AcceptedState, found: Mapping[int, DecisionRecord], broken: set[int]) -> list[Misfit]:
    """Return where the accepted state and the record that it names differ."""
    last, where = found.get(state.decision), accepted.KEY
    if last is None:
        name = record_key(state.decision)
        return (
            [] if state.decision in broken else [Misfit(what="record", where=name, expected="the last decision's record", found="nothing")]
        )
    pairs = (("record", state.record, record_digest(encode_record(last))), ("tree", state.tree, last.tree), ("head", state.head, last.head))
    return [
        Misfit(what="accepted state", where=where, expected=f"{name} {there} of decision {state.decision}", found=stated)
        for name, stated, there in pairs
        if stated != there
    ]


def _chain(found: Mapping[int, DecisionRecord], broken: set[int], state: AcceptedState | None, report: Report) -> list[DecisionRecord]:
    """Return the records that the last one stands on, oldest first; where a link is missing, it goes on from the next below."""
    by_digest = {record_digest(encode_record(one)): one for one in found.values()}
    last = found.get(state.decision) if state is not None else None
    current = last or (found[max(found)] if found else None)
    chain: list[DecisionRecord] = []
    while current is not None:
        chain.append(current)
        below = by_digest.get(current.previous) if current.previous else None
        if below is not None and below.sequence >= current.sequence:
            below = None
        nearest = max((number for number in found if number < current.sequence), default=None)
        report.take("record", [] if below is not None or current.previous is None else _missing(current, nearest, broken))
        current = below if below is not None else found[nearest] if nearest is not None and current.previous else None
    return chain[::-1]


def _missing(record: DecisionRecord, nearest: int | None, broken: set[int]) -> list[Misfit]:
    """Return what is wrong where a record's predecessor is not there; one that was named as damaged is not named again."""
    if any((nearest or 0) < number < record.sequence for number in broken):
        return []
    where = f"before {record_key(record.sequence)}"
    found = f"{record_key(nearest)}, which has another digest" if nearest is not None else "nothing"
    return [Misfit(what="record", where=where, expected=f"a record with digest {record.previous}", found=found)]


def since_of(chain: Chain, since: str) -> int:
    """Return the number of the first decision at or after a time (RFC 3339, UTC), or the number itself.

    Raises:
        InputError: there is none.
    """
    number = int(since) if since.isdecimal() else None
    first = next((one.sequence for one in chain.records if (one.at >= since if number is None else one.sequence >= number)), None)
    if first is None:
        newest = chain.records[-1]
        message = f"--since {since}: the newest decision here is {newest.sequence}, of {newest.at}; name an earlier one"
        raise InputError(message)
    return number or first
