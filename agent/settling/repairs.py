"""How often what drifted is put right: whoever changes a path again and again is told of, and not fought for ever."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

FREE = 5
"""Repairs of one path within a day that cost nothing: an administrator's afternoon, not a program's war."""
DAY_SECONDS = 86_400.0
FIRST_SECONDS = 600.0
"""After those, until the next one; doubled each time."""
LONGEST_SECONDS = 21_600.0


@dataclass(slots=True)
class Repairs:
    """What was put right on this host within a day; lives as long as the agent."""

    clock: Callable[[], float] = time.monotonic
    _times: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def contested(self, fleet: str, paths: Iterable[str]) -> frozenset[str]:
        """Return those of a fleet's paths that are left as they are for now: they were put right too often."""
        return frozenset(path for path in paths if self._rests(self._lately(fleet, path)))

    def note(self, fleet: str, paths: Iterable[str]) -> None:
        """Count a repair of each path."""
        for path in paths:
            self._times[fleet, path] = [*self._lately(fleet, path), self.clock()]

    def _lately(self, fleet: str, path: str) -> list[float]:
        times = [one for one in self._times.get((fleet, path), ()) if self.clock() - one < DAY_SECONDS]
        if not times:
            self._times.pop((fleet, path), None)
        return times

    def _rests(self, times: list[float]) -> bool:
        if len(times) < FREE:
            return False
        return self.clock() - times[-1] < min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(len(times) - FREE, 10))


def without(paths: frozenset[str], path: str) -> bool:
    """Return whether a path is none of these and not below one."""
    return not any(path == one or path.startswith(f"{one}/") for one in paths)
