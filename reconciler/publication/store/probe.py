"""Whether an object store keeps the two promises that decide every race: create only what is absent, replace only what was read.

Some that speak S3 ignore the conditions and answer that all is well; then two copies of a zone would overwrite each other unseen, so
each zone tries it at its start, under a prefix of its own. Permissions to write are found missing there too, and not in the night.
"""

import secrets

from agent.protocol.errors import InputError
from reconciler.publication.store.interface import Store
from reconciler.publication.store.local import LocalStore


def require_conditional(store: Store, prefix: str) -> None:
    """Try conditional puts below `prefix`, which the caller may write; leave nothing there. A directory needs no trial.

    Raises:
        InputError: the store does not keep to conditions: another one must be set.
        RetryError: it can't be reached, or refuses these credentials.
    """
    if isinstance(store, LocalStore):
        return
    key = f"{prefix}_probe/{secrets.token_hex(8)}"
    try:
        broken = _broken(store, key)
    finally:
        store.delete(key)
    if broken:
        message = (
            f"this object store does not keep to conditions ({broken}), so two copies of a zone could undo each other's work: "
            "use one that knows If-None-Match and If-Match on puts; docs/object-stores.md names some"
        )
        raise InputError(message)


def _broken(store: Store, key: str) -> str:
    """Return which promise is not kept, nothing if all are."""
    if not store.create(key, b"first"):
        return "it says that something stands where nothing does"
    if store.create(key, b"second"):
        return "what stands there was created again"
    found = store.get_versioned(key)
    if found is None or found[0] != b"first":
        return "what was put is not what is read"
    if not store.replace(key, b"second", found[1]):
        return "what was read could not be replaced"
    if store.replace(key, b"third", found[1]):
        return "what had changed since it was read was replaced"
    return ""
