"""Looking up one thing for each of many who ask at the same time: one transaction for all who came while the one before was under way.

After an outage thousands of agents come back within a minute, and a transaction for each would cost several times what its answer does.
"""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection

from reconciler.control.registry.registry import Registry

TOGETHER = 500
"""Keys in one statement: SQLite takes 32,766 parameters, and nobody should wait long for somebody else's."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lookups(Generic[K, V]):
    """Answers from the registry, by key; for one event loop."""

    def __init__(self, registry: Registry, read: Callable[[Connection, Sequence[K]], Mapping[K, V]]) -> None:
        """`read` returns what it finds for some of the keys."""
        self._registry, self._read = registry, read
        self._wanted: dict[K, asyncio.Future[V | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key: K) -> V | None:
        """Return what the registry has for a key, None for nothing; raises as `Registry.ask`."""
        found = self._wanted.get(key)
        if found is None:
            found = self._wanted[key] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
        return await asyncio.shield(found)

    async def _read_all(self) -> None:
        while self._wanted:
            keys = list(self._wanted)[:TOGETHER]
            asked = {key: self._wanted.pop(key) for key in keys}
            try:
                found = await self._registry.ask(self._read, keys)
            except Exception as error:  # noqa: BLE001 - whoever asked is told, whatever it is
                for future in asked.values():
                    future.set_exception(error)
                    future.exception()  # who asked may be gone
                continue
            for key, future in asked.items():
                future.set_result(found.get(key))
