"""Waking the loop: within milliseconds of a write where the store is a directory, by looking again everywhere else."""

import os
import re
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from reconciler.publication.store import LocalStore, Scoped, Store

WATCHED = ("approved", "trust")
_NEWS = re.compile(r"(?:approved|trust)/[^_/.][^/]*/(?:[^_/.][^/]*/)?(?:[0-9]+\.(?:releases|root|targets)|controls)\.json")
"""What changes a fleet: the last file that approving writes, controls, and trust. Files before these would only wake the loop in vain."""


REPORTED, ORDERED = "reported", "ordered"
"""What keys begin with that are news of the registry and no files: `reported/<tenant>/<fleet>/now`."""


def rollout_news(what: str, name: str) -> str:
    """Return the key that tells of news about the rollout of a fleet (`<tenant>/<fleet>`): receipts, or an order."""
    return f"{what}/{name}/now"


def reports_in(keys: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return the (tenant, fleet) that receipts came for, by key."""
    return _news(REPORTED, keys)


def orders_in(keys: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return the (tenant, fleet) that somebody ordered something about, by key."""
    return _news(ORDERED, keys)


def _news(what: str, keys: Collection[str]) -> dict[str, tuple[str, str]]:
    parts = {key: key.split("/") for key in keys if key.startswith(f"{what}/")}
    return {key: (tenant, fleet) for key, (_, tenant, fleet, _) in parts.items()}


class Wakeup:
    """Keys that changed since they were last taken; safe between threads."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._news = threading.Condition()

    def tell(self, key: str) -> None:
        """Note a changed key and wake who waits."""
        with self._news:
            self._changed.add(key)
            self._news.notify_all()

    def take(self, timeout: float) -> frozenset[str]:
        """Return the keys that changed, waiting up to `timeout` seconds for one; empty when none did."""
        with self._news:
            self._news.wait_for(lambda: self._changed, timeout=max(timeout, 0.0))
            changed, self._changed = frozenset(self._changed), set()
        return changed


class _Handler(FileSystemEventHandler):
    def __init__(self, root: Path, wakeup: Wakeup) -> None:
        self._root = root
        self._wakeup = wakeup

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, FileCreatedEvent | FileMovedEvent | FileClosedEvent):
            path = os.fsdecode(event.dest_path or event.src_path)
            key = Path(path).relative_to(self._root).as_posix()
            if _NEWS.fullmatch(key):
                self._wakeup.tell(key)


@contextmanager
def watching(store: Store, wakeup: Wakeup) -> Iterator[None]:
    """Tell `wakeup` of changes under `approved/` and `trust/` while the context lasts; do nothing for a store that can't be watched."""
    local = store.inner if isinstance(store, Scoped) else store
    if not isinstance(local, LocalStore):
        yield
        return
    root = local.root.resolve()
    observer = Observer()
    for name in WATCHED:
        (root / name).mkdir(parents=True, exist_ok=True)
        observer.schedule(_Handler(root, wakeup), str(root / name), recursive=True)
    observer.start()
    try:
        yield
    finally:
        observer.stop()
        observer.join()
