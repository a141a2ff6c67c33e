"""The control zone's loop: what is approved becomes published, fleet by fleet."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.publication.keys import KeyRing
from reconciler.publication.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """What the loop works with."""

    store: Store
    """Best a `Scoped(inner=…, write=CONTROL_PREFIXES)`."""
    keys: KeyRing
    """The control zone's ring; a tenant whose keys are not in it is waiting for keys."""
    holder: str
    """Who holds the lease: stays the same over restarts on one state directory, differs between machines."""
    poll: float = 1.0
    """Seconds between looks at the store when nothing wakes the loop."""


def run(settings: ControlSettings, stop: threading.Event, *, ready: Callable[[], None] = lambda: None) -> None:
    """Publish what is approved until `stop` is set; a step that has begun is finished.

    `ready` is called after the first whole pass. Trouble with one fleet is logged, shown in its status and tried again.
    """
    raise NotImplementedError
