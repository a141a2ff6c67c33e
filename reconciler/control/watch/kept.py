"""Parts of fleets as they were read last, one for all agents; reading is in threads, once for all who ask at the same time."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

from agent.protocol.errors import OrdainError
from reconciler.control.watch.parts import Part, read_part
from reconciler.publication import layout
from reconciler.publication.store import Store

KEPT = 1024
"""Fleets that are kept although nobody waits for them: their agents are between two requests. Some kilobytes each."""

_log = logging.getLogger(__name__)
Fleet = tuple[str, str]
"""Tenant, and the fleet's own name."""


@dataclass(eq=False, slots=True, kw_only=True)
class _Place:
    part: Part | None = None
    known: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Parts:
    """What stands published, by fleet; for one event loop."""

    def __init__(self, store: Store) -> None:
        """Nothing is read before it is asked for."""
        self._store = store
        self._places: OrderedDict[Fleet, _Place] = OrderedDict()

    def get(self, fleet: Fleet) -> Part | None:
        """Return what was read last, None where nothing was, or nothing is published."""
        place = self._places.get(fleet)
        return place.part if place else None

    async def load(self, fleet: Fleet) -> None:
        """Read a fleet's part unless it is known."""
        place = self._places.get(fleet)
        if place is not None and place.known:
            return
        place = self._places.setdefault(fleet, _Place())
        async with place.turn:
            if not place.known:
                await self._read(fleet, place)

    async def refresh(self, fleet: Fleet) -> bool:
        """Read a fleet's part again; return whether it is another now. What can't be read leaves what was read before."""
        place = self._places.setdefault(fleet, _Place())
        async with place.turn:
            before = place.part
            await self._read(fleet, place)
            return place.part is not before and (before is None or place.part is None or place.part.version != before.version)

    async def moved(self, fleets: Collection[Fleet]) -> list[Fleet]:
        """Return those whose timestamp's file is another than when it was read; one look at the store for each, in one thread."""
        return await asyncio.to_thread(self._moved, [(fleet, self.get(fleet)) for fleet in fleets])

    def _moved(self, fleets: list[tuple[Fleet, Part | None]]) -> list[Fleet]:
        try:
            return [fleet for fleet, part in fleets if self._store.version(_timestamp(fleet)) != (part.stored if part else None)]
        except OrdainError as error:
            _log.warning("the store can't be looked at for news: %s", error)
            return []

    def forget(self, needed: Collection[Fleet]) -> None:
        """Drop the oldest of what is known beyond `KEPT`, but what is needed."""
        for fleet in list(self._places)[: max(0, len(self._places) - KEPT)]:
            if fleet not in needed and not self._places[fleet].turn.locked():
                del self._places[fleet]

    async def _read(self, fleet: Fleet, place: _Place) -> None:
        root = place.part.root if place.part else 1
        try:
            place.part = await asyncio.to_thread(read_part, self._store, *fleet, root=root)
        except OrdainError as error:
            _log.warning("not told to waiting agents: %s", error, extra={"tenant": fleet[0], "fleet": fleet[1]})
        place.known = True


def _timestamp(fleet: Fleet) -> str:
    return layout.metadata(*fleet, "timestamp.json")
