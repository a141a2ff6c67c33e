"""An agent in a thread that looks at a store as fast as it can, for tests in which others publish, stop and die."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tuf.api.exceptions import DownloadError, RepositoryError

from agent.protocol import codec, rollout
from agent.protocol.rollout import RolloutDocument
from reconciler.publication.client import Client
from reconciler.publication.store import Store
from reconciler.publication.trust import read_trust

PAUSE = 0.02
"""Seconds between two polls."""


@dataclass(slots=True, kw_only=True)
class Poller:
    """An agent of the fleet `shop/web` that verifies all of it at each poll, and remembers each order that it saw."""

    store: Store
    seen: dict[int, RolloutDocument] = field(default_factory=dict)
    last: RolloutDocument | None = None
    known: Mapping[str, bytes] = field(default_factory=dict)
    polls: int = 0
    broken: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Poll until it is ended."""
        trust = read_trust(self.store, "shop")
        assert trust is not None
        while not self.ended.wait(PAUSE):
            try:
                self._poll(trust.roots[0])
            except (RepositoryError, DownloadError) as error:
                self.broken.append(f"{type(error).__name__}: {error}")

    def _poll(self, root: bytes) -> None:
        client = Client(self.store.get, fleet="shop/web", root=root, now=datetime.now(UTC), standing=self.known)
        client.refresh()
        self.known = client.known
        document = rollout.decode(client.download(rollout.target("web")), fleet="shop/web")
        self.polls += 1
        before = self.seen.setdefault(document.serial, document)
        if codec.canonical(before) != codec.canonical(document):
            self.broken.append(f"serial {document.serial} said two things")
        if self.last is not None and document.serial < self.last.serial:
            self.broken.append(f"serial {document.serial} after {self.last.serial}")
        if self.last is not None and document.epoch < self.last.epoch:
            self.broken.append(f"epoch {document.epoch} after {self.last.epoch}")
        self.last = document


@contextmanager
def polling(store: Store) -> Iterator[Poller]:
    """Poll a store in which the fleet is published, as long as the block lasts."""
    poller = Poller(store=store)
    thread = threading.Thread(target=poller.run)
    thread.start()
    try:
        yield poller
    finally:
        poller.ended.set()
        thread.join()
