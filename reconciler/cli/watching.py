"""Doing something again whenever a file below a directory changes."""

import threading
from collections.abc import Iterator
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

QUIET = 0.15
"""Seconds without a further change before one counts: editors and git write several files at once."""
OPENED = frozenset({"opened", "closed_no_write"})
"""What only readers do, we among them."""


class _Changed(FileSystemEventHandler):
    def __init__(self) -> None:
        self.happened = threading.Event()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in OPENED and "/.git/" not in str(event.src_path):
            self.happened.set()


def watched(root: Path) -> Iterator[int]:
    """Yield 1 at once, then a next number whenever a file below `root` has changed and all is quiet; until it is interrupted."""
    changed = _Changed()
    observer = Observer()
    observer.schedule(changed, str(root), recursive=True)
    observer.start()
    number = 0
    try:
        while True:
            number += 1
            yield number
            changed.happened.wait()
            while changed.happened.is_set():
                changed.happened.clear()
                changed.happened.wait(QUIET)
    finally:
        observer.stop()
        observer.join()
