"""Read a repository back as an agent would, before its timestamp moves: by python-tuf's own client, from the first root on.

What is not published yet (new roots and the timestamp) is laid over the store. The client starts from the timestamp and snapshot that stand
published, so numbers that go backwards are found here and not by agents.
"""

import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater

from agent.protocol.errors import RefusedError
from reconciler.publication import metadata
from reconciler.publication.published import Published
from reconciler.publication.store import Store

_BASE = "store:/"
_TENANT_ROLES = ("root", "targets")
_NOT_FOUND = 404


class StoreFetcher(FetcherInterface):
    """Serves a TUF client from the store, `overlay` first; checks tenant and fleet of metadata as an agent's fetcher does."""

    def __init__(self, store: Store, *, fleet: str, overlay: Mapping[str, bytes]) -> None:
        self._store = store
        self._fleet = fleet
        self._overlay = overlay

    def _fetch(self, url: str) -> Iterator[bytes]:
        key = url.removeprefix(_BASE)
        data = self._overlay.get(key)
        if data is None:
            data = self._store.get(key)
        if data is None:
            message = f"{key}: not in the store"
            raise DownloadHTTPError(message, _NOT_FOUND)
        if f"public/{self._fleet}/metadata/" in key:
            self._require_own(key, data)
        return iter((data,))

    def _require_own(self, key: str, data: bytes) -> None:
        role = key.rpartition("/")[2].removesuffix(".json").rpartition(".")[2]
        signed = Metadata.from_bytes(data).signed
        mark, value = (metadata.TENANT, self._fleet.partition("/")[0]) if role in _TENANT_ROLES else (metadata.FLEET, self._fleet)
        metadata.require_mark(signed, mark, value, what=key)


class _Client(Updater):
    """python-tuf's client at a time that it is told: what is published is signed for that time, whatever a clock says meanwhile."""

    def at(self, now: datetime) -> None:
        """Take `now` for the time at which metadata must not have expired."""
        self._trusted_set.reference_time = now


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
    base = f"public/{fleet}/"
    fetcher = StoreFetcher(store, fleet=fleet, overlay=overlay)
    with tempfile.TemporaryDirectory(prefix="ordain-readback-") as directory:
        if standing is not None:
            Path(directory, "timestamp.json").write_bytes(standing.timestamp_data)
            Path(directory, "snapshot.json").write_bytes(standing.snapshot_data)
        client = _Client(directory, f"{_BASE}{base}metadata/", directory, f"{_BASE}{base}targets/", fetcher=fetcher, bootstrap=root)
        client.at(now)
        try:
            client.refresh()
            for path, sha256 in targets.items():
                _download(client, path, sha256)
        except (RepositoryError, DownloadError) as error:
            message = f"{fleet}: what was written can't be read back as an agent would ({error.__cause__ or error}); nothing is published"
            raise RefusedError(message) from error


def _download(client: Updater, path: str, sha256: str) -> None:
    found = client.get_targetinfo(path)
    if found is None or found.hashes.get("sha256") != sha256:
        message = f"{path} is not listed with the content that it should have"
        raise RepositoryError(message)
    client.download_target(found)
