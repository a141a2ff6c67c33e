"""Published files that never change, read once for all agents: ten thousand that fetch one bundle cost a bucket one request."""

from collections import OrderedDict

KEPT_BYTES = 64 * 1024 * 1024
"""Bytes of files that are kept: releases of a thousand fleets, or the newest of a few large ones."""
LARGEST = 4 * 1024 * 1024
"""Bytes of a file that is kept: bundles take kilobytes, and a larger one would drive out a thousand of them."""


class KeptFiles:
    """What was read last, within a bound of bytes; for one event loop. What isn't there is not kept: it may come."""

    def __init__(self, *, most: int = KEPT_BYTES, largest: int = LARGEST) -> None:
        """Nothing is kept yet."""
        self._most, self._largest = most, largest
        self._found: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def get(self, key: str) -> bytes | None:
        """Return a file, None where it is not kept."""
        data = self._found.get(key)
        if data is not None:
            self._found.move_to_end(key)
        return data

    def keep(self, key: str, data: bytes) -> None:
        """Keep a file, and drop those that nobody asked for longest where there is no room."""
        if key in self._found or len(data) > self._largest:
            return
        self._found[key] = data
        self._size += len(data)
        while self._size > self._most:
            self._size -= len(self._found.popitem(last=False)[1])
