"""A report on compliance, as it is counted and printed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from reconciler.pipeline.finding import Verdict

State = Literal["conforms", "waived", "standing"]
ORDER: tuple[State, ...] = ("conforms", "waived", "standing")
"""From best to worst: several things together are as the worst of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of something conform, are excused by a waiver, and have findings that stand; these three make up all of them."""

    conform: int = 0
    waived: int = 0
    standing: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.conform + self.waived + self.standing

    @property
    def percent(self) -> float:
        """How many of a hundred conform, to a tenth and never rounded up to all; 100 where there are none."""
        exact = 100 * self.conform / self.total if self.total else 100.0
        return round(exact, 1) if self.conform == self.total else min(round(exact, 1), 99.9)


def share_of(states: Iterable[State]) -> Share:
    """Count states."""
    found = list(states)
    return Share(conform=found.count("conforms"), waived=found.count("waived"), standing=found.count("standing"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One rule: its level where nothing overrides it, and what it is asked about."""

    id: str
    title: str
    level: str
    scope: str
    objects: Share
    findings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """A tenant, a fleet or a label: its objects and its agents; `objects` is None for a label, which only agents are counted by."""

    name: str
    agents: Share
    objects: Share | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One commit of the trend, at its own time, by the rules of today: those about objects alone."""

    time: str
    commit: str
    objects: Share
    agents: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverRow:
    """A waiver that is in force; `used` says whether anything needs it."""

    name: str
    rule: str
    object: str
    at: str
    owner: str
    reason: str
    until: str
    file: str
    used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerRow:
    """Who may change what: in words, with the number of keys that count today."""

    name: str
    role: str
    may: str
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A commit of the period that no signer of today stands behind, and why."""

    commit: str
    time: str
    author: str
    subject: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it. `unread` are files that no rule can judge, `left` sentences on what was left out."""

    repository: str
    since: str
    at: str
    head: str
    commits: int
    judge: str
    objects: Share
    agents: Share
    rules: tuple[RuleRow, ...]
    tenants: tuple[GroupRow, ...]
    fleets: tuple[GroupRow, ...]
    labels: tuple[GroupRow, ...]
    trend: tuple[Point, ...]
    waivers: tuple[WaiverRow, ...]
    signatures: bool
    signers: tuple[SignerRow, ...]
    unsigned: tuple[Unsigned, ...]
    standing: tuple[Verdict, ...]
    unread: tuple[Verdict, ...]
    unjudged: tuple[Verdict, ...] = ()
    left: tuple[str, ...] = ()
