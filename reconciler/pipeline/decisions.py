"""Reading decisions back from the store, believed when one of our keys signed them."""

from collections.abc import Sequence

from securesystemslib.signer import Key

from reconciler.pipeline.audit import PAYLOAD_TYPE, DecisionRecord, decode_record, record_key
from reconciler.publication import envelope
from reconciler.publication.store import Store


def read_record(store: Store, keys: Sequence[Key], sequence: int) -> DecisionRecord | None:
    """Return the record of a decision, None if there is none; raise `RefusedError` for one that no key of these signed."""
    name = record_key(sequence)
    data = store.get(name)
    return decode_record(envelope.verify(data, PAYLOAD_TYPE, keys, what=name)) if data else None
