"""A TUF client of the control plane's own: what stands somewhere by key, read as an agent would read it.

`serve` reads back with it what it wrote, before agents may; a mirror verifies with it what it copies. Where bytes come from is a
function of a key, so a store, a web server and files that are not published yet are all the same to it.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from tuf.api.exceptions import DownloadHTTPError, DownloadLengthMismatchError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from agent.protocol.errors import RefusedError
from reconciler.publication import layout, metadata

Get = Callable[[str], bytes | None]
"""Key of the store (`public/shop/web/metadata/timestamp.json`) → what stands there."""
_BASE = "store:/"
_TENANT_ROLES = ("root", "targets")
_NOT_FOUND = 404


class KeyFetcher(FetcherInterface):
    """Serves a TUF client by key; checks tenant and fleet of metadata as an agent's fetcher does."""

    def __init__(self, get: Get, *, fleet: str) -> None:
        """`fleet` is `<tenant>/<fleet>`."""
        self._get = get
        self._fleet = fleet

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return what stands there, as python-tuf's own does by way of a file."""
        data = b"".join(self.fetch(url))
        if len(data) > max_length:
            message = f"{url.removeprefix(_BASE)}: {len(data)} bytes where {max_length} are the most"
            raise DownloadLengthMismatchError(message)
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        key = url.removeprefix(_BASE)
        data = self._get(key)
        if data is None:
            message = f"{key}: not there"
            raise DownloadHTTPError(message, _NOT_FOUND)
        if f"public/{self._fleet}/metadata/" in key:
            self._require_own(key, data)
        return iter((data,))

    def _require_own(self, key: str, data: bytes) -> None:
        role = key.rpartition("/")[2].removesuffix(".json").rpartition(".")[2]
        try:
            signed = dict(json.loads(data)["signed"])  # as python-tuf reads the same bytes next
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            message = f"{key}: not TUF metadata ({error})"
            raise RepositoryError(message) from error
        mark, value = (metadata.TENANT, self._fleet.partition("/")[0]) if role in _TENANT_ROLES else (metadata.FLEET, self._fleet)
        metadata.require_mark(signed, mark, value, what=key)


class Client(Updater):
    """python-tuf's client at a time that it is told, with nothing on a disk.

    What is published is signed for that time, whatever a clock says meanwhile; and nobody needs what one look has verified a second time.
    """

    def __init__(self, get: Get, *, fleet: str, root: bytes, now: datetime, standing: Mapping[str, bytes]) -> None:
        """Trust `root`, and never go behind what is `standing` (role → file); `fleet` is `<tenant>/<fleet>`."""
        self._unseen = set(standing)
        self.known = dict(standing)
        """Role → file as it was verified last, which a next look may not go behind."""
        fetcher = KeyFetcher(get, fleet=fleet)
        super().__init__(os.devnull, f"{_BASE}public/{fleet}/metadata/", fetcher=fetcher, bootstrap=root)
        self._fleet = fleet
        self.at(now)

    def at(self, now: datetime) -> None:
        """Take `now` for the time at which metadata must not have expired."""
        self._trusted_set.reference_time = now

    def refresh(self) -> None:
        """Verify the newest metadata; raises as python-tuf's own does, and `RefusedError` where that did not look at what stood before."""
        super().refresh()
        if self._unseen & {"timestamp", "snapshot"}:  # it would not say so itself: to it there was nothing
            message = "this version of python-tuf does not look at what stood before; install the one that requirements.lock names"
            raise RefusedError(message)

    def download(self, path: str, sha256: str | None = None) -> bytes:
        """Return a target; raise `RepositoryError` where it is not listed, or not with this SHA-256."""
        found = self.get_targetinfo(path)
        if found is None or (sha256 is not None and found.hashes.get("sha256") != sha256):
            message = f"{path} is not listed{' with the content that it should have' if found else ''}"
            raise RepositoryError(message)
        tenant, _, fleet = self._fleet.partition("/")
        data = self._fetcher.download_bytes(f"{_BASE}{layout.target(tenant, fleet, path, found.hashes['sha256'])}", found.length)
        found.verify_length_and_hashes(data)
        return data

    # What python-tuf would keep in its directory, which is none here

    def _load_local_metadata(self, rolename: str) -> bytes:
        self._unseen.discard(rolename)
        if rolename not in self.known:
            raise FileNotFoundError(rolename)
        return self.known[rolename]

    def _persist_metadata(self, rolename: str, data: bytes) -> None:
        self.known[rolename] = data

    def _persist_root(self, version: int, data: bytes) -> None:
        """Keep nothing: roots are followed from the first one each time."""

    def _update_root_symlink(self) -> None:
        """Point to nothing."""
