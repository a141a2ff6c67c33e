"""A change of the certificate authority, for tests: the ceremony for another root beside the one that stands."""

from pathlib import Path

from reconciler.control.authority.ceremony import found_authority
from reconciler.publication.key_making import make_keys
from reconciler.publication.keys import KeyRing
from reconciler.publication.public_keys import read_public
from reconciler.publication.store import Store


def certify_next(keys: Path, store: Store) -> None:
    """Hold it for shop and lab, with other keys of the intermediates the first time; `keys` is where the rings of all zones are."""
    ring = KeyRing(zone="control", directory=keys / "control")
    if not ring.has("shop/authority.next"):
        make_keys("control", keys / "control", ("shop", "lab"), following=("authority", "server"))
    (keys / "authority" / "authority" / "root.pem").unlink()
    root = make_keys("authority", keys / "authority").ring
    public = read_public(keys / "control" / "public.json", zone="control")
    found_authority(store, root, control=public, tenants=["shop", "lab"], following=True)
