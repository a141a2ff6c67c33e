"""Which releases a fleet's hosts are on or may go back to, as `serve` says: its rollout document, and beside it what it recorded.

Not verified here: whoever asks keeps what these name, and all that a thief of the control zone gets by naming others is that some of
those that are listed already stay listed.
"""

import contextlib

import msgspec

from agent.protocol.rollout import Release
from reconciler.publication import layout
from reconciler.publication.published import Published, read_published
from reconciler.publication.store import Store

LIMIT = 16
"""Releases that a record may name: the stable one, the candidate, and ten that were stable before; a thief names no more either."""
_STATUS_LIMIT = 64 * 1024
"""Bytes of a record that is read: a hundred times what one has."""


class _Rollout(msgspec.Struct):
    """Part of a fleet's status; it may have more."""

    returns: list[Release] = []


class _Status(msgspec.Struct):
    """A fleet's status; it may have more."""

    rollout: _Rollout | None = None


def named_by(published: Published | None) -> set[Release]:
    """Return the releases that a rollout document names."""
    document = published.document if published else None
    return {release for release in (document.stable, document.candidate) if release} if document else set()


def returns(store: Store, tenant: str, fleet: str) -> set[Release]:
    """Return the releases that hosts of a fleet run or may go back to.

    Raises:
        MalformedError: what is published can't be read, so nobody knows.
    """
    return named_by(read_published(store, tenant, fleet)) | recorded(store, tenant, fleet)


def recorded(store: Store, tenant: str, fleet: str) -> set[Release]:
    """Return the releases that `serve` recorded beside its rollout document; none where the record is damaged."""
    data = store.get(layout.record(tenant, fleet, "status.json"))
    if data is None or len(data) > _STATUS_LIMIT:
        return set()
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        status = msgspec.json.decode(data, type=_Status)
        return set(status.rollout.returns[:LIMIT]) if status.rollout else set()
    return set()
