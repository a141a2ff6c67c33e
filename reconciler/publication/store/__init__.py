"""The store: what passes between the zones, and from them to agents, as keys and bytes.

Keys look like paths (`approved/shop/web/3.releases.json`) and mean the same in a directory and in an object store.
Two operations decide every race: `create` (only if absent) and `replace` (only if still the version that was read).
What `create` or `replace` reported as done survives a power loss.
"""

from reconciler.publication.store.interface import KEY_LIMIT, OBJECT_LIMIT, PART, Entry, Store, require_key
from reconciler.publication.store.local import LocalStore
from reconciler.publication.store.opening import Access, open_store
from reconciler.publication.store.scoped import CONTROL_PREFIXES, PIPELINE_PREFIXES, Scoped

__all__ = [
    "CONTROL_PREFIXES",
    "KEY_LIMIT",
    "OBJECT_LIMIT",
    "PART",
    "PIPELINE_PREFIXES",
    "Access",
    "Entry",
    "LocalStore",
    "Scoped",
    "Store",
    "open_store",
    "require_key",
]
