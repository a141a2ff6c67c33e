"""A rule that tightens by itself: levels by date and by cohort, as `stages` of `ordain.yaml` have them.

Of the stages whose day has come and whose cohort something belongs to, the last in the list counts. The first one has neither
day nor cohort: it says what holds until then and elsewhere. A day begins at midnight UTC.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.pipeline.finding import Becomes, ObjectName
from reconciler.pipeline.policy.metadata import Level

ORDER: tuple[Level, ...] = ("off", "audit", "warn", "deny")
"""Levels, each stricter than the one before."""
_POINTS = 2**64
LEAST_SHARE = 0.00001
"""Percentages have three decimals, so whoever stands this little below a share belongs to it and to no smaller one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Who is judged: tenant and labels, and where it stands among all when a rule is for a share of them.

    `point` is from 0 to below 1; left out, it follows from the object's name and the rule, so that each rule begins with others,
    and those of a smaller share are among those of a greater one.
    """

    tenant: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    name: ObjectName | None = None
    point: float | None = None

    def point_for(self, rule: str) -> float:
        """Return where it stands for a rule; what has no name (a change) stands at the very end."""
        if self.point is not None or self.name is None:
            return self.point if self.point is not None else 1.0
        digest = hashlib.sha256(f"{rule}\0{self.name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / _POINTS


def cohort_of(name: ObjectName | None, labels: Mapping[str, Any]) -> Cohort:
    """Return the cohort of an object, of nothing in particular where there is none."""
    return Cohort(tenant=name.tenant, labels=labels, name=name) if name is not None else Cohort()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: `begins` is an instant as text, empty for always; `share` of 1 is everybody."""

    level: Level
    begins: str = ""
    tenants: frozenset[str] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    share: float = 1.0

    @property
    def everywhere(self) -> bool:
        """Whether it is for everybody."""
        return self.tenants is None and not self.labels and self.share >= 1

    def holds(self, rule: str, cohort: Cohort) -> bool:
        """Return whether somebody belongs to its cohort."""
        return (
            (self.tenants is None or cohort.tenant in self.tenants)
            and all(cohort.labels.get(key) == value for key, value in self.labels)
            and (self.share >= 1 or cohort.point_for(rule) < self.share)
        )


def read(stated: object) -> tuple[Stage, ...]:
    """Return the stages that a rule's setting states; what its schema refuses is passed over."""
    listed = stated if isinstance(stated, list) else []
    return tuple(_stage(each) for each in listed if isinstance(each, dict) and each.get("level") in ORDER)


def _stage(stated: Mapping[str, Any]) -> Stage:
    begins, tenants, labels, share = (stated.get(name) for name in ("from", "tenants", "labels", "share"))
    return Stage(
        level=stated["level"],
        begins=f"{begins}T00:00:00Z" if isinstance(begins, str) else "",
        tenants=frozenset(one for one in tenants if isinstance(one, str)) if isinstance(tenants, list) else None,
        labels=tuple(sorted((key, value) for key, value in labels.items() if isinstance(value, str))) if isinstance(labels, dict) else (),
        share=_share(share),
    )


def _share(stated: object) -> float:
    text = stated.removesuffix("%") if isinstance(stated, str) else ""
    try:
        return float(text) / 100 if text else 1.0
    except ValueError:
        return 1.0


def level_at(stages: Sequence[Stage], now: str) -> Level:
    """Return the level at an instant, by the stages that hold for somebody; without any, `off`."""
    return next((stage.level for stage in reversed(stages) if stage.begins <= now), "off")


def becomes(stages: Sequence[Stage], now: str) -> Becomes | None:
    """Return the next day from which on the level is a stricter one, and that level; None where there is none."""
    today = ORDER.index(level_at(stages, now))
    for begins in sorted({stage.begins for stage in stages if stage.begins > now}):
        level = level_at(stages, begins)
        if ORDER.index(level) > today:
            return Becomes(level=level, day=begins[:10])
    return None


def dates(stages: Sequence[Stage]) -> Iterator[str]:
    """Yield the instants at which stages begin."""
    return (stage.begins for stage in stages if stage.begins)


def probes(stages: Sequence[Stage]) -> Iterator[Cohort]:
    """Yield somebody of each cohort that stages name: those by whom two lists of stages can be told apart."""
    for stage in stages:
        for tenant in sorted(stage.tenants or {""}):
            for point in (0.0, stage.share / 2, max(0.0, stage.share - LEAST_SHARE)):
                yield Cohort(tenant=tenant, labels=dict(stage.labels), point=point)
