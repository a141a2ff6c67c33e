"""The written account of what an apply changed and can't put back: each fix before it is begun and after it has ended, for keeps.

A host that dies in between has an entry that is `begun` and nothing more. Nothing is repaired by it, since the next look
compares anew; it is for whoever asks what was going on.
"""

from pathlib import Path
from typing import Literal

import msgspec

from agent.disk import read_optional
from agent.logs import timestamp
from agent.protocol import codec, durable
from agent.protocol.state import Struct
from agent.providers.fix import Fix

SAID_LIMIT = 4000
"""Characters of an error that are kept: a package manager's last words."""
WHY_LIMIT = 1000
"""Reasons that are kept of one fix: as many packages as may change at once."""


class Entry(Struct):
    """One fix: `begun` and nothing later means that the host died, or the agent was killed, in its midst."""

    provider: str
    resource: str
    why: list[str]
    at: str
    """When it was begun."""
    outcome: Literal["begun", "done", "failed"] = "begun"
    said: str = ""
    """Why it failed."""

    def line(self) -> str:
        """Return it as people read it: `begun: package/nginx`."""
        return f"{self.outcome}: {self.resource}" + (f" ({self.said})" if self.said else "")


class Written(Struct):
    """The document on disk."""

    entries: list[Entry] = []


class Account:
    """The account at `path`, of one apply at a time: `open` starts it anew."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Entry]:
        """Return what was begun, in order; empty where nothing ever was. Raises `MalformedError` if it is damaged."""
        written = read_optional(self.path, Written)
        return written.entries if written else []

    def open(self) -> None:
        """Forget the apply before."""
        self._write([])

    def begin(self, fix: Fix) -> None:
        """Note that a fix is begun, before it is."""
        why = [reason[:SAID_LIMIT] for reason in fix.why[:WHY_LIMIT]]
        self._write([*self.read(), Entry(provider=fix.provider, resource=fix.resource, why=why, at=timestamp())])

    def end(self, said: str | None = None) -> None:
        """Note that the last one ended: well, or by an error that `said` why."""
        *before, last = self.read()
        outcome: Literal["done", "failed"] = "done" if said is None else "failed"
        self._write([*before, msgspec.structs.replace(last, outcome=outcome, said=(said or "")[-SAID_LIMIT:])])

    def _write(self, entries: list[Entry]) -> None:
        durable.replace(self.path, codec.canonical(Written(entries=entries)), mode=0o600)
