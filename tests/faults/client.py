"""A client of the repository that knows only root metadata and polls while everything around it is killed.

It is python-tuf's own client, by HTTP and straight from the files. A server that is away is no fault; anything else
that keeps it from what the newest timestamp leads to is.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import Timestamp
from tuf.ngclient import FetcherInterface, Updater

from agent.protocol import bundle, membership, rollout

REST = 0.1
"""Seconds between polls: often enough to fall between any two writes, and leaves the processor to those under test."""
NOT_FOUND = 404


class FileFetcher(FetcherInterface):
    """Serves a client from a directory, as a web server that knows nothing would."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            data = Path(url.removeprefix("file:")).read_bytes()
        except FileNotFoundError as error:
            message = f"{url}: no such file"
            raise DownloadHTTPError(message, NOT_FOUND) from error
        return iter((data,))


@dataclass(slots=True)
class Client:
    """One fleet's repository, polled. `broken` is what must stay empty."""

    base: str
    root: Path
    tenant: str = "shop"
    fleet: str = "web"
    fetcher: FetcherInterface | None = None
    polls: int = 0
    away: int = 0
    timestamp: int = 0
    serial: int = 0
    broken: list[str] = field(default_factory=list)

    def poll(self) -> None:
        """Start from root metadata alone, and fetch all that the newest rollout document needs."""
        try:
            version, document = self._read()
        except DownloadHTTPError as error:
            if not self._is_first(error):
                self.broken.append(f"{type(error).__name__}: {error}")
            return
        except RepositoryError as error:
            self.broken.append(f"{type(error).__name__}: {error} {error.__cause__ or ''}")
            return
        except DownloadError:
            self.away += 1
            return
        if version < self.timestamp or document.serial < self.serial:
            self.broken.append(f"backwards: timestamp {self.timestamp} → {version}, serial {self.serial} → {document.serial}")
        self.polls, self.timestamp, self.serial = self.polls + 1, version, document.serial

    def _is_first(self, error: DownloadHTTPError) -> bool:
        """Return whether nothing was ever published, which is no fault."""
        return error.status_code == NOT_FOUND and not self.polls

    def _read(self) -> tuple[int, rollout.RolloutDocument]:
        with tempfile.TemporaryDirectory(prefix="client-") as directory:
            places = (directory, f"{self.base}/metadata/", directory, f"{self.base}/targets/")
            client = Updater(*places, fetcher=self.fetcher, bootstrap=self.root.read_bytes())
            client.refresh()
            document = rollout.decode(self._download(client, rollout.target(self.fleet)), fleet=f"{self.tenant}/{self.fleet}")
            if document.stable is not None:
                data = self._download(client, bundle.target(self.fleet, document.stable.digest))
                bundle.unpack(data, digest=document.stable.digest)
                self._download(client, membership.target(document.stable.members))
            stamp = client._trusted_set[Timestamp.type]  # noqa: SLF001 - the client shows it nowhere else
            return stamp.version, document

    @staticmethod
    def _download(client: Updater, target: str) -> bytes:
        found = client.get_targetinfo(target)
        if found is None:
            message = f"{target} is not listed"
            raise RepositoryError(message)
        return Path(client.download_target(found)).read_bytes()

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set."""
        while not stop.is_set():
            if self.root.exists():
                self.poll()
            time.sleep(REST)
