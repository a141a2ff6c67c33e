"""How a change of authority stands, as `records/_authority.json` has it: what `authority.rotation` decides, and others look at."""

from agent.protocol import codec
from agent.protocol.state import Struct
from reconciler.publication import layout
from reconciler.publication.store import Store

FORMAT = 1


class Change(Struct):
    """Generations by number, 0 for none; `share` in percent; instants RFC 3339."""

    format: int
    current: int
    server: int
    candidate: int = 0
    share: int = 0
    began: str = ""
    promoted: str = ""
    refused: list[int] = []

    @property
    def used(self) -> set[int]:
        """The generations by which something is issued."""
        return {self.current, self.server, self.candidate} - {0}


def decode(data: bytes) -> Change:
    """Read the file; raise `MalformedError`."""
    return codec.decode(data, Change, what=layout.AUTHORITY_CHANGE)


def read(store: Store) -> Change | None:
    """Return how a change stands, None before `serve` first looked; raise `MalformedError`."""
    found = store.get(layout.AUTHORITY_CHANGE)
    return decode(found) if found else None
