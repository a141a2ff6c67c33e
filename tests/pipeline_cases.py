"""The pipeline's own loop in a thread of the tests: real git, real OPA, development keys, and nobody who publishes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reconciler import settings, wiring
from reconciler.pipeline.loop import Progress
from tests.e2e.installation import Installation, until

STOP_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """A loop that has taken what was committed before."""

    progress: Progress
    thread: threading.Thread


@contextmanager
def following(installation: Installation) -> Iterator[Following]:
    """Run the loop over an installation's repository until the block ends; it begins once the first head is examined."""
    loaded = settings.Settings(state=installation.state, source=settings.SourceSettings(repository=str(installation.repo), poll=0.2))
    progress, stop = Progress(), threading.Event()
    thread = threading.Thread(target=wiring.pipeline(loaded, progress, make_keys=wiring.development(loaded)), args=(stop,))
    thread.start()
    try:
        until("ready", lambda: progress.ready)
        yield Following(progress=progress, thread=thread)
    finally:
        stop.set()
        thread.join(STOP_SECONDS)
    assert not thread.is_alive()
