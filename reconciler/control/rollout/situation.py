"""All that a rollout is decided by, besides how it stands: one instant's knowledge, as values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agent.protocol.rollout import Release
from reconciler.control.rollout.evidence import Tally
from reconciler.control.rollout.gates import Gates
from reconciler.control.rollout.pacing import Pace
from reconciler.control.rollout.progress import Candidate, Progress
from reconciler.rollouts.strategy import Strategy
from reconciler.rollouts.waves import Wave


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The newest approved release of a fleet; `additive` are the members sequences from which on it only added hosts."""

    release: Release
    commit: str
    decision: int
    additive: frozenset[int] = frozenset()

    def only_adds_to(self, other: Release | None) -> bool:
        """Return whether it is the same bundle, for the same hosts and some more."""
        return other is not None and other.digest == self.release.digest and other.members in self.additive

    def to_go_back_to(self, stable: Release | None) -> Release | None:
        """Return the stable release for the hosts, too, that this one adds: else who has this one could not go back from it."""
        known = stable is not None and stable.members in self.additive
        return Release(digest=stable.digest, members=self.release.members) if stable is not None and known else stable


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known of a fleet (`<tenant>/<fleet>`) at `now`.

    `waves` returns the waves of an attempt of a candidate, from its signed members. `joining` is what the hosts show whom the last
    admitted wave newly reached, `admitted` what all show that were admitted. `provable` is whether any member ever enrolled: where
    none did nothing can be measured, and nobody is asked. `modes` is what hosts show of each mode that is being switched on.
    """

    fleet: str
    now: datetime
    desired: Desired | None
    strategy: Strategy
    waves: Callable[[Candidate, int], Sequence[Wave]]
    joining: Tally = field(default_factory=Tally)
    admitted: Tally = field(default_factory=Tally)
    gates: Gates = field(default_factory=Gates)
    provable: bool = True
    modes: Mapping[str, Tally] = field(default_factory=dict)
    mode_wave: Callable[[str], Wave | None] = field(default=lambda _: None)
    """The first wave's hosts for a mode, whose slots are its own."""
    is_listed: Callable[[Release], bool] = field(default=lambda _: True)
    """Whether a release is still listed: one that is not can't be fetched, so nobody is sent there."""
    pace: Callable[[Progress, Wave], Pace] | None = None
    """How far a wave may go now where not all of it may go at once: by how the rollout stood before, and the wave."""
