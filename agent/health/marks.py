"""Releases that failed here: a bad one is not tried again, one that could not be had now is tried later and later.

Bad marks are on disk: a restart must not run a failing check again every time. Waiting times are not: a restart is a
good moment to try again.
"""

import random
import time
from pathlib import Path

from agent.disk import read_optional
from agent.protocol import codec, durable
from agent.protocol.state import Struct

FIRST_SECONDS = 15.0
LONGEST_SECONDS = 3600.0
"""A mirror that is mended is noticed within the hour; one that stays broken costs little."""
KEPT = 50
"""Bad marks of one fleet: old ones can't come back, since serials only grow."""


class Bad(Struct):
    """Release key (`<digest>/<group>/<mode>/<attempt>`) → why it failed, oldest first; `restored` are those that were taken back."""

    keys: list[tuple[str, str]] = []
    restored: list[str] = []


class Marks:
    """What is remembered of failures, of all fleets."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[int, float]] = {}

    def bad(self, directory: Path, key: str) -> str | None:
        """Return why this release is bad here, None if it isn't known to be."""
        return dict((read_optional(directory / "bad.json", Bad) or Bad()).keys).get(key)

    def was_restored(self, directory: Path, key: str) -> bool:
        """Return whether a release that is bad here had been switched to, and was taken back."""
        return key in (read_optional(directory / "bad.json", Bad) or Bad()).restored

    def mark_bad(self, directory: Path, key: str, why: str, *, restored: bool = False) -> None:
        """Remember, for keeps, that this release fails here."""
        old = read_optional(directory / "bad.json", Bad) or Bad()
        keys = [*(entry for entry in old.keys if entry[0] != key), (key, why)][-KEPT:]
        back = [one for one in old.restored if one != key and one in dict(keys)] + ([key] if restored else [])
        durable.replace(directory / "bad.json", codec.canonical(Bad(keys=keys, restored=back)), mode=0o600)

    def forget(self, directory: Path) -> None:
        """Forget a fleet's bad releases."""
        if (directory / "bad.json").exists():
            durable.remove(directory / "bad.json")

    def wait(self, key: str) -> float:
        """Remember one more failure that may pass, and return the seconds until it is worth another try."""
        failures = self._waits.get(key, (0, 0.0))[0] + 1
        seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 10))
        seconds *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, guards nothing
        self._waits[key] = failures, time.monotonic() + seconds
        return seconds

    def is_waiting(self, key: str) -> bool:
        """Return whether it is too early to try again."""
        return time.monotonic() < self._waits.get(key, (0, 0.0))[1]

    def settle(self, key: str) -> None:
        """Forget failures that have passed."""
        self._waits.pop(key, None)
