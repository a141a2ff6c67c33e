"""A TUF client of the control plane's own: what stands somewhere by key, read as an agent would read it.

`serve` reads back with it what it wrote, before agents may; a mirror verifies with it what it copies. Where bytes come from is a
function of a key, so a store, a web server and files that are not published yet are all the same to it.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater

from reconciler.publication import metadata

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
        signed = Metadata.from_bytes(data).signed
        mark, value = (metadata.TENANT, self._fleet.partition("/")[0]) if role in _TENANT_ROLES else (metadata.FLEET, self._fleet)
        metadata.require_mark(signed, mark, value, what=key)


class Client(Updater):
    """python-tuf's client at a time that it is told: what is published is signed for that time, whatever a clock says meanwhile."""

    def at(self, now: datetime) -> None:
        """Take `now` for the time at which metadata must not have expired."""
        self._trusted_set.reference_time = now

    def download(self, path: str, sha256: str | None = None) -> bytes:
        """Return a target; raise `RepositoryError` where it is not listed, or not with this SHA-256."""
        found = self.get_targetinfo(path)
        if found is None or (sha256 is not None and found.hashes.get("sha256") != sha256):
            message = f"{path} is not listed{' with the content that it should have' if found else ''}"
            raise RepositoryError(message)
        return Path(self.download_target(found)).read_bytes()


def make_client(directory: Path, get: Get, *, fleet: str, root: bytes, now: datetime, standing: Mapping[str, bytes]) -> Client:
    """Return a client that trusts `root`, keeps its files in `directory`, and never goes behind what is `standing` (role → file)."""
    for role, data in standing.items():
        (directory / f"{role}.json").write_bytes(data)
    base = f"{_BASE}public/{fleet}"
    fetcher = KeyFetcher(get, fleet=fleet)
    client = Client(str(directory), f"{base}/metadata/", str(directory), f"{base}/targets/", fetcher=fetcher, bootstrap=root)
    client.at(now)
    return client
