"""Whether a release makes a wave's hosts worse, by what they measured of themselves before and after.

Sums over all hosts of a wave that measured both are compared, so that one host's noise says little and a leak on all of them much.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.protocol.report import Usage, Used
from reconciler.control.rollout.gates import Answer
from reconciler.rollouts.measured import Regressions

CPU_FLOOR = 10
"""Thousandths of a core a host: growth by less is noise, whatever its share of what was hardly anything."""
MEMORY_FLOOR = 8 * 2**20
"""Bytes a host."""
STARTUP_FLOOR = 1000
"""Milliseconds a host."""
MEASURED_SHARE = 2
"""A release is measured for at least the soak divided by this: hosts measure at times that double."""
MEASURED_LEAST = 30
"""Seconds for which it is measured where the soak is short; agents measure no earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Something that is compared: which limit it has, and in which words it is told."""

    name: str
    of: Callable[[Used], int | None]
    floor: int
    shown: Callable[[float], str]


_KINDS = (
    _Kind(name="cpu", of=lambda used: used.cpu, floor=CPU_FLOOR, shown=lambda value: f"{value / 1000:.2f} cores"),
    _Kind(name="memory", of=lambda used: used.memory, floor=MEMORY_FLOOR, shown=lambda value: f"{value / 2**20:.0f} MiB"),
    _Kind(name="startup", of=lambda used: used.startup, floor=STARTUP_FLOOR, shown=lambda value: f"{value / 1000:.1f} s"),
)


def regressed(limits: Regressions, measured: Sequence[Usage], *, hosts: int, soak: int) -> Answer:
    """Return what measurements of a wave say.

    `hosts` is how many are to have measured, `soak` in seconds; `measured` is of this release and attempt alone. Where somebody
    measured too short a time, or not at all, the answer is missing, unless what is known is bad already.
    """
    ripe = [one for one in measured if one.seconds >= max(MEASURED_LEAST, soak // MEASURED_SHARE)]
    bad = [*_grown(limits, ripe), *_restarted(limits, measured)]
    missing = f"{hosts - len(ripe)} of {hosts} hosts have not measured it for long enough" if len(ripe) < hosts else ""
    return Answer(name="regressions", bad="; ".join(bad), missing=missing)


def _grown(limits: Regressions, measured: Sequence[Usage]) -> Iterable[str]:
    for kind in _KINDS:
        limit = getattr(limits, kind.name)
        pairs = [(kind.of(one.before), kind.of(one.after)) for one in measured if one.before is not None]
        both = [(before, after) for before, after in pairs if before is not None and after is not None]
        if limit is None or not both:
            continue
        before, after = (sum(values) / len(both) for values in zip(*both, strict=True))
        if after > before * (100 + limit) / 100 and after - before > kind.floor:
            more = f" (+{(after / before - 1) * 100:.0f} %)" if before else ""
            yield f"{kind.name} grew from {kind.shown(before)} to {kind.shown(after)} a host{more}, more than {limit} %"


def _restarted(limits: Regressions, measured: Sequence[Usage]) -> Iterable[str]:
    most = max((one.after.restarts for one in measured), default=0)
    if limits.restarts is not None and most > limits.restarts:
        yield f"restarts: {most} by themselves on one host, more than {limits.restarts}"
