"""What one fleet holds here, as effects need it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.protocol.state import State
from agent.providers.item import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A generation's state with its texts finished, and what that means at its paths."""

    fleet: str
    state: State
    generation: int
    transaction: str
    """The transaction that last touched the fleet."""
    sealed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Process → variable → what may be kept of its value, of those that hold secrets."""
    items: Mapping[str, Item] | None
    """None where that can't be said now, or the host's owner no longer allows it: what runs goes on, and nothing is started."""
