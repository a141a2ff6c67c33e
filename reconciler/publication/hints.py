"""The hint to fetch: how `serve`, which hears a forge's webhooks, has `reconcile`, which listens to nobody, look at git sooner.

It is left in the store as one small file that a newer one replaces. Nobody trusts it: whoever forges it makes the pipeline look for
news that isn't there, no more often than the pipeline lets itself be called.
"""

from agent.protocol import codec
from agent.protocol.errors import MalformedError, RetryError
from agent.protocol.state import Struct
from reconciler.publication.store import Store

FETCH_HINT = "records/_hints/fetch.json"
FORMAT = 1
HINT_LIMIT = 4096
"""Bytes of a hint: ten times what one takes."""


class FetchHint(Struct):
    """`records/_hints/fetch.json`: the newest webhook; `at` is RFC 3339, `number` only grows, `ref` is a branch's or empty."""

    format: int
    number: int
    at: str
    forge: str
    ref: str


def read_hint(store: Store) -> FetchHint | None:
    """Return the newest hint; None where there is none, or none that can be read: a poll comes anyway."""
    try:
        data = store.get(FETCH_HINT)
    except (MalformedError, RetryError):
        return None
    return _decoded(data)


def _decoded(data: bytes | None) -> FetchHint | None:
    try:
        return codec.decode(data, FetchHint, what=FETCH_HINT, limit=HINT_LIMIT) if data else None
    except MalformedError:
        return None


def write_hint(store: Store, forge: str, ref: str, at: str) -> None:
    """Leave a hint in place of the one before; raise `RetryError` where the store can't be written."""
    found = store.get_versioned(FETCH_HINT)
    before = _decoded(found[0]) if found else None
    hint = FetchHint(format=FORMAT, number=before.number + 1 if before else 1, at=at, forge=forge, ref=ref)
    store.replace(FETCH_HINT, codec.canonical(hint), found[1] if found else None)  # another serve was faster: its hint is as good
