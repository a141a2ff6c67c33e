"""What simulated hosts did, written down by themselves: the other side of what the server says of them.

Times are of the monotonic clock.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.protocol.rollout import RolloutDocument
from tests.simulator.line import RefusedAnswerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A host was told of a rollout document."""

    host: str
    serial: int
    at: float


@dataclass(slots=True, kw_only=True)
class Taken:
    """A host took a release up: `result` is what came of it, `told_at` when the server had acknowledged that, 0 until then."""

    host: str
    digest: str
    attempt: int
    serial: int
    at: float
    result: str = ""
    told_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """All that happened so far; written by one event loop, read by any thread."""

    heard: list[Heard] = field(default_factory=list)
    documents: dict[int, RolloutDocument] = field(default_factory=dict)
    """Serial → what was told first under it."""
    taken: list[Taken] = field(default_factory=list)
    believed: int = 0
    """Parts that were read without verifying."""
    verified: int = 0
    """Parts that the agent's own TUF client verified."""
    unverified: list[str] = field(default_factory=list)
    """What it refused, and why."""
    disagreed: list[str] = field(default_factory=list)
    """Where the quick reading gave something else."""
    drops: int = 0
    broken: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    def told(self, host: str, document: RolloutDocument, at: float) -> None:
        """Note that a host was told of a document."""
        self.documents.setdefault(document.serial, document)
        self.heard.append(Heard(host=host, serial=document.serial, at=at))

    def refused(self, error: RefusedAnswerError) -> None:
        """Note a refusal of the server."""
        self.refusals[f"{error.status} {error.refusal.code}"] += 1

    def of(self, digest: str) -> Sequence[Taken]:
        """Return who took a release, in that order."""
        return [one for one in list(self.taken) if one.digest == digest]

    def hosts(self, digest: str) -> frozenset[str]:
        """Return the hosts that took a release."""
        return frozenset(one.host for one in self.of(digest))
