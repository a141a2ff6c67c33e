"""Read a repository back as an agent would, before its timestamp moves: by python-tuf's own client, from the first root on.

What is not published yet (new roots and the timestamp) is laid over the store. The client starts from the timestamp and snapshot that stand
published, so numbers that go backwards are found here and not by agents.
"""

from collections.abc import Mapping
from datetime import datetime

from tuf.api.exceptions import DownloadError, RepositoryError

from agent.protocol.errors import RefusedError
from reconciler.publication.client import Client
from reconciler.publication.published import Published
from reconciler.publication.store import Store


def read_back(
    store: Store,
    fleet: str,
    *,
    root: bytes,
    overlay: Mapping[str, bytes],
    standing: Published | None,
    targets: Mapping[str, str],
    now: datetime,
) -> None:
    """Verify that an agent that knows only `root` could take what the store would be with `overlay`, by key, upon it, at `now`.

    `fleet` is `<tenant>/<fleet>`; `targets` are path → SHA-256 of what it would download.

    Raises:
        RefusedError: it could not.
    """

    def get(key: str) -> bytes | None:
        laid = overlay.get(key)
        return store.get(key) if laid is None else laid

    known = {"timestamp": standing.timestamp_data, "snapshot": standing.snapshot_data} if standing is not None else {}
    try:
        client = Client(get, fleet=fleet, root=root, now=now, standing=known)
        client.refresh()
        for path, sha256 in targets.items():
            client.download(path, sha256)
    except (RepositoryError, DownloadError) as error:
        message = f"{fleet}: what was written can't be read back as an agent would ({error.__cause__ or error}); nothing is published"
        raise RefusedError(message) from error
