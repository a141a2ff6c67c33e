"""When garbage is looked for: not while a command begins or reads, since nearly all that comes into being then is kept."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage until the end of the block: a quarter of the time would go for nothing.

    Afterwards what was kept is left out of every search, so that the first one does not take that time after all.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.freeze()
            gc.enable()
