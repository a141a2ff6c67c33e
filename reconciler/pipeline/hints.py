"""Hints to fetch, as the pipeline takes them: seldom, and as no more than a reason to look."""

import time

from reconciler.publication.hints import read_hint
from reconciler.publication.store import Store

LOOK_EVERY = 1.0
"""Seconds between looks at the store: what a push then waits for at most, beside the fetch."""
FETCH_EVERY = 10.0
"""Seconds between two fetches for hints: a storm of webhooks makes one at its begin and one at most every ten seconds."""


class Hints:
    """Whether a hint came that was not acted on; the times are of a clock that never goes back, in seconds."""

    def __init__(self, store: Store) -> None:
        """What stands in the store now is old: a reconciler fetches when it starts."""
        self._store = store
        self._known = self._number()
        self._pending = False
        self._looked = self._fetched = float("-inf")

    def due(self, now: float | None = None) -> bool:
        """Return whether to fetch for a hint now; a true answer counts as a fetch."""
        now = time.monotonic() if now is None else now
        if now - self._looked >= LOOK_EVERY:
            self._looked, number = now, self._number()
            self._pending |= number != self._known
            self._known = number
        if not self._pending or now - self._fetched < FETCH_EVERY:
            return False
        self._pending, self._fetched = False, now
        return True

    def _number(self) -> int:
        hint = read_hint(self._store)
        return hint.number if hint else 0
