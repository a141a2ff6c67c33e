"""What a conductor is given about one fleet: values, and where to ask about the others."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agent.protocol.rollout import RolloutDocument
from reconciler.control.rollout.situation import Desired
from reconciler.publication.controls import Controls
from reconciler.publication.releases import Releases
from reconciler.rollouts.strategy import Strategy, strategy_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One fleet to step: what is approved, what stands published, and by which lease.

    `others` returns what is approved of another fleet of the tenant, None for nothing; it raises as `read_newest` does.
    """

    tenant: str
    fleet: str
    controls: Controls
    releases: Releases
    standing: RolloutDocument | None
    epoch: int
    serial_floor: int
    now: datetime
    others: Callable[[str], Releases | None] = lambda fleet: None  # noqa: ARG005 - where no fleet goes after another

    @property
    def name(self) -> str:
        """`<tenant>/<fleet>`."""
        return f"{self.tenant}/{self.fleet}"

    @property
    def strategy(self) -> Strategy:
        """The fleet's strategy."""
        return strategy_of(self.controls.fleets[self.fleet].rollout)


def desired_of(task: Task, additive: frozenset[int]) -> Desired | None:
    """Return the newest approved release of a fleet; `additive` are the members sequences since which it only added hosts."""
    release = task.releases.desired
    if release is None:
        return None
    parts = [part[1] for part in (task.releases.bundle, task.releases.members) if part is not None]
    newest = max(parts, key=lambda approval: approval.sequence)
    return Desired(release=release, commit=newest.commit, decision=newest.decision, additive=additive)
